// The channels of eswitches: a socket each, to which QEMU connects a serial port of the guest. The
// guest's calls have a table of their own (rpc_nic.c), and mean the eswitch of the socket.
// One guest harms itself only: each channel is a server with one client, whose lines, answers,
// events and calls in a time are bounded.
#pragma once

#include "loop.h"
#include "plane.h"
#include "rtvs/rpc.h"
#include "server.h"

#include <jansson.h>
#include <stdbool.h>

#define CHANNELS_PROTOCOL 1 // version of what a guest may call
#define CHANNELS_LINE_BYTES (64u << 10)
#define CHANNELS_LINE_TEXT "64 KiB"
#define CHANNELS_BACKLOG_BYTES (64u << 10) // events that the guest has not read yet
#define CHANNELS_BATCH 16 // calls in one batch
#define CHANNELS_CALLS 100 // a second
#define CHANNELS_BURST 200 // calls at once, after seconds with less
#define CHANNELS_CHANGE_CALLS 5 // a call that may change a port counts as so many

struct channels;

struct channel {
	struct server server;
	struct channels *channels;
	char name[RTVS_NAME_SIZE]; // of its eswitch
	char refusal[DP_ERR_SIZE]; // the host's reason for the last one that the guest was not told
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
// As model's open_channel and close_channel.
int channels_open(void *channels, const struct model_eswitch *eswitch, char err[DP_ERR_SIZE]);
void channels_close(void *channels, const char *name);
// Once a second.
void channels_tick(struct channels *channels);
// Tells the guest of the port's eswitch, if it asked for that and the port is a VF's.
void channels_link(struct channels *channels, const char *port, bool is_up);
// {connected, calls, refused, ...} of the eswitch's channel, new reference.
json_t *channels_json(const struct channels *channels, const char *name);
