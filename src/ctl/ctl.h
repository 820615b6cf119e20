// The control plane's own insides: what a handler finds behind its ctx.
#pragma once

#include "events.h"
#include "loop.h"
#include "model.h"
#include "notify.h"
#include "peers.h"
#include "probes.h"
#include "rtvs/ctl.h"
#include "saved.h"
#include "server.h"

struct capture;
struct metrics;

struct ctl {
	struct ctl_params params;
	const struct rpc_api *api; // all methods
	struct dp *dp;
	struct model *model; // what handlers change: a dry one while a configuration is checked
	struct model *live; // the one of the datapath
	struct loop loop;
	struct server server;
	struct events events;
	struct notify notify;
	struct peers peers;
	struct probes probes;
	struct saved saved;
	struct metrics *metrics;
	struct capture *captures;
	struct loop_source signal, tick, dp_events;
	struct loop_source beat; // while there are tunnels
	bool is_stopping;
	uint64_t trace_read_ns; // trace.read or start, CLOCK_MONOTONIC
	uint64_t start_ns; // CLOCK_MONOTONIC
};
