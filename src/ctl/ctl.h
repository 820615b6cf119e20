// The control plane's own insides. methods.c says which part a noun's handlers have.
#pragma once

#include "channels.h"
#include "events.h"
#include "loop.h"
#include "notify.h"
#include "peers.h"
#include "plane.h"
#include "probes.h"
#include "rpc_config.h"
#include "rpc_system.h"
#include "rpc_trace.h"
#include "rtvs/ctl.h"
#include "running.h"
#include "saved.h"
#include "server.h"
#include "take_over.h"
#include "upgrade.h"

struct capture;
struct metrics;

struct ctl {
	struct ctl_params params;
	struct plane plane;
	struct loop loop;
	struct server server;
	struct channels channels;
	struct events events;
	struct notify notify;
	struct peers peers;
	struct probes probes;
	struct saved saved;
	struct running running;
	struct take_over take_over;
	struct upgrade upgrade;
	struct metrics *metrics;
	struct capture *captures;
	struct loop_source signal, tick, dp_events;
	struct loop_source beat; // while there are tunnels
	bool has_sigterm; // what ends it: as systemd does
	// The handlers' own parts.
	struct rpc_config config;
	struct rpc_system system;
	struct rpc_trace trace;
};

// The done of sessions whose calls change the live model.
void ctl_done(void *ctx, const struct rpc_method *method, const json_t *params, int rc);
