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

// For handlers. Maps what a function returned to an answer: -EINVAL blames a parameter, the rest a state. Returns -1.
int ctl_refuse(struct rpc_error *err, int rc, const char *text);
// "NOUN NAME does not exist" and the like, with the name in the data. Returns -1.
int ctl_refuse_name(struct rpc_error *err, int rc, const char *noun, const char *name);
// Stores the result. Returns 0, or -1 when it is NULL: out of memory.
int ctl_answer(json_t **ret_result, json_t *result, struct rpc_error *err);
// Copies the members that the caller gave.
void ctl_merge(const struct rpc_param *params, unsigned n_params, uint64_t present, const void *in, void *inout);
uint64_t ctl_now_ns(void); // CLOCK_MONOTONIC
