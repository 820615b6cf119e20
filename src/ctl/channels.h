// The channels of eswitches: a socket each, to which QEMU connects a serial port of the guest. The
// guest's calls have a table of their own (rpc_nic.c), and mean the eswitch of the socket.
// One guest harms itself only: each channel is a server with one client, whose lines, answers,
// events and calls in a time are bounded.
#pragma once

#include "guest_rules.h"
#include "loop.h"
#include "plane.h"
#include "rtvs/rpc.h"
#include "server.h"

#include <assert.h>
#include <jansson.h>
#include <stdbool.h>

#define CHANNELS_PROTOCOL 1 // version of what a guest may call
#define CHANNELS_LINE_BYTES (64u << 10)
#define CHANNELS_LINE_TEXT "64 KiB"
#define CHANNELS_BACKLOG_BYTES (64u << 10) // events that the guest has not read yet
#define CHANNELS_BATCH 16 // calls in one batch
#define CHANNELS_CALLS 100 // a second
#define CHANNELS_BURST 200 // calls at once, after seconds with less
#define CHANNELS_RULES_OF_CALL 20 // rules of a flow.sync count as a call
#define CHANNELS_RULES_S 30 // seconds without a session after which a guest's rules go
#define CHANNELS_CHANGE_CALLS 5 // a call that may change a port counts as so many

struct channels;

struct channel {
	struct server server;
	struct channels *channels;
	char name[RTVS_NAME_SIZE]; // of its eswitch
	char refusal[DP_ERR_SIZE]; // the host's reason for the last one that the guest was not told
	struct guest_rules rules;
	uint64_t n_sets; // of its eswitch, that the guest was told of
	unsigned alone_s; // seconds without a session
};

struct channels {
	struct plane *plane;
	struct loop *loop;
	struct rpc_session host; // in which a guest's call becomes one of the host's
	unsigned n;
	struct channel *list[MODEL_MAX_ESWITCHES];
};

// host: of which the session is a copy. The live model of plane then opens and closes channels by
// channels_open and channels_close.
void channels_init(struct channels *channels, struct plane *plane, struct loop *loop, const struct rpc_session *host);
void channels_fini(struct channels *channels);
// As model's open_channel, close_channel and flushed.
int channels_open(void *channels, const struct model_eswitch *eswitch, char err[DP_ERR_SIZE]);
void channels_close(void *channels, const char *name);
void channels_flushed(void *channels, const char *name);
// Of the live model.
static inline const struct model_eswitch *
channels_eswitch(const struct channel *channel)
{
	const struct model_eswitch *eswitch = model_eswitch_find(channel->channels->plane->live, channel->name);

	assert(eswitch); // a channel ends with it
	return eswitch;
}

// Once a second.
void channels_tick(struct channels *channels);
// Of a VF: tells the guest of its eswitch, if it asked for that. Of a PF that is down: the guest's
// rules go.
void channels_link(struct channels *channels, const char *port, bool is_up);
// {connected, calls, refused, ...} of the eswitch's channel, new reference.
json_t *channels_json(const struct channels *channels, const char *name);
