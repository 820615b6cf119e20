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
	bool is_stopping;
	uint64_t trace_read_ns; // trace.read or start, CLOCK_MONOTONIC
	uint64_t start_ns; // CLOCK_MONOTONIC
};

// Tables of methods, one per noun; each ends with a row without name.
extern const struct rpc_method rpc_bridge_methods[];
extern const struct rpc_method rpc_capture_methods[];
extern const struct rpc_method rpc_config_methods[];
extern const struct rpc_method rpc_events_methods[];
extern const struct rpc_method rpc_flow_methods[];
extern const struct rpc_method rpc_mac_methods[];
extern const struct rpc_method rpc_peer_methods[];
extern const struct rpc_method rpc_port_methods[];
extern const struct rpc_method rpc_probe_methods[];
extern const struct rpc_method rpc_stats_methods[];
extern const struct rpc_method rpc_system_methods[];
extern const struct rpc_method rpc_trace_methods[];
extern const struct rpc_method rpc_worker_methods[];
