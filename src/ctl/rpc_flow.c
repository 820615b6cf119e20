// Methods of the noun flow: delays and losses of ports' packets at egress ports, and on their way
// from other hosts.
#include "answer.h"
#include "flow_json.h"
#include "methods.h"
#include "plane.h"

#include <errno.h>
#include <string.h>

struct flow_params {
	char port[RTVS_NAME_SIZE], from[RTVS_NAME_SIZE];
};

static const struct rpc_param flow_params[] = {
	RPC_PARAM(struct flow_params, port, RPC_NAME, .max = RTVS_NAME_SIZE - 1,
		.help = "only this egress port; empty: all"),
	RPC_PARAM(struct flow_params, from, RPC_NAME, .max = RTVS_NAME_SIZE - 1,
		.help = "only packets of this port; empty: all"),
};

static int
answer_flows(const struct plane *plane, const struct flow_params *p, flow_json_fn *fn, json_t **ret_result,
	struct rpc_error *err)
{
	json_t *list;

	if (p->port[0] && !model_port_find(plane->model, p->port))
		return ctl_refuse_name(err, -ENOENT, "port", p->port);
	if (p->from[0] && !model_port_find(plane->model, p->from))
		return ctl_refuse_name(err, -ENOENT, "port", p->from);
	(void)dp_stats_refresh(plane->dp);
	list = json_array();
	for (unsigned i = 0; i < plane->model->n_ports; i++)
		if (!p->port[0] || !strcmp(p->port, plane->model->ports[i]->cfg.name))
			flow_json_add(plane, plane->model->ports[i], p->from, fn, list);
	return ctl_answer(ret_result, list, err);
}

static int
flow_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)present;
	return answer_flows(ctx, params, flow_json_counters, ret_result, err);
}

static int
flow_show(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)present;
	return answer_flows(ctx, params, flow_json_delay, ret_result, err);
}

struct remote_params {
	char port[RTVS_NAME_SIZE];
	uint32_t flow;
};

static const struct rpc_param remote_params[] = {
	RPC_PARAM(struct remote_params, port, RPC_NAME, .max = RTVS_NAME_SIZE - 1,
		.help = "only this tunnel; empty: all"),
	RPC_PARAM(struct remote_params, flow, RPC_UINT, .max = DP_MAX_PORTS - 1,
		.help = "only this port of the other host; default all"),
};
#define HAS_FLOW 2 // in present

static int
flow_remote(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct remote_params *p = params;
	const struct model_port *only = p->port[0] ? model_port_find(plane->model, p->port) : NULL;
	uint32_t flow = present & HAS_FLOW ? p->flow : FLOW_JSON_ALL;
	json_t *list;

	if (p->port[0] && !only)
		return ctl_refuse_name(err, -ENOENT, "port", p->port);
	if (only && !port_has(only->cfg.type, PORT_IS_TUNNEL)) {
		rpc_error_set(err, RPC_INVALID_PARAMS, "port: %s is not of type=geneve", p->port);
		return -1;
	}
	(void)dp_stats_refresh(plane->dp);
	list = json_array();
	for (unsigned i = 0; i < plane->model->n_ports; i++)
		if (!only || only == plane->model->ports[i])
			flow_json_add_remote(plane, plane->model->ports[i], flow, flow_json_remote_delay, list);
	if (flow == FLOW_JSON_ALL || json_array_size(list))
		return ctl_answer(ret_result, list, err);
	json_decref(list);
	rpc_error_errno(err, -ENOENT, "flow: nothing came of %u%s%s", p->flow, only ? " through " : "", p->port);
	return -1;
}

const struct rpc_method rpc_flow_methods[] = {
	{"flow.list", "Show the packets of ports through scheduled egress ports.",
		"List of flows: packets guaranteed and surplus, missed deadlines, delays in the host (ns). from \"*\": "
		"all ports beyond the first 1024 senders; they share a queue, and have no guarantee.",
		flow_list, flow_params, sizeof(flow_params) / sizeof(flow_params[0]), sizeof(struct flow_params),
		RPC_READ_ONLY},
	{"flow.show", "Show the delays of ports' packets, as histograms.",
		"List of {port, from, deadline, missed_pkts, broken_pkts, delay: percentiles in ns and buckets [low, "
		"high, count]}.",
		flow_show, flow_params, sizeof(flow_params) / sizeof(flow_params[0]), sizeof(struct flow_params),
		RPC_READ_ONLY},
	{"flow.remote",
		"Show the packets that arrived through tunnels, by the sending port of the other host (its number "
		"there).",
		"List of {tunnel, flow, deadline, counts of packets, uncertainty_ns: of the clocks (null: they cannot "
		"be compared), percentiles of the delay end to end, delay: the same, network: less the time at the "
		"sender}. delay and network are as flow.show's. unjudged: packets whose deadline is below twice the "
		"uncertainty.",
		flow_remote, remote_params, 2, sizeof(struct remote_params), RPC_READ_ONLY},
	{0},
};
