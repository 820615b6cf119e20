// Methods of the noun flow: what the ports' packets meet at egress ports.
#include "ctl.h"
#include "flow_json.h"

#include <errno.h>
#include <string.h>

struct flow_params {
	char port[RTVS_NAME_SIZE], from[RTVS_NAME_SIZE];
};

static const struct rpc_param flow_params[] = {
	RPC_PARAM(struct flow_params, port, RPC_NAME, .max = RTVS_NAME_SIZE - 1,
		.help = "only this egress port; empty: all"),
	RPC_PARAM(struct flow_params, from, RPC_NAME, .max = RTVS_NAME_SIZE - 1,
		.help = "only what this port sends; empty: all"),
};

static int
answer_flows(const struct ctl *ctl, const struct flow_params *p, flow_json_fn *fn, json_t **ret_result,
	struct rpc_error *err)
{
	json_t *list;

	if (p->port[0] && !model_port_find(ctl->model, p->port))
		return ctl_refuse_name(err, -ENOENT, "port", p->port);
	if (p->from[0] && !model_port_find(ctl->model, p->from))
		return ctl_refuse_name(err, -ENOENT, "port", p->from);
	(void)dp_stats_refresh(ctl->dp);
	list = json_array();
	for (unsigned i = 0; i < ctl->model->n_ports; i++)
		if (!p->port[0] || !strcmp(p->port, ctl->model->ports[i]->cfg.name))
			flow_json_add(ctl, ctl->model->ports[i], p->from, fn, list);
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

const struct rpc_method rpc_flow_methods[] = {
	{"flow.list", "Show what became of the packets that ports sent to scheduled egress ports.",
		"List of flows: packets guaranteed and surplus, missed deadlines, delays in the host (ns).", flow_list,
		flow_params, sizeof(flow_params) / sizeof(flow_params[0]), sizeof(struct flow_params), RPC_READ_ONLY},
	{"flow.show", "Show the delays of what ports sent, as histograms.",
		"List of {port, from, deadline, missed_pkts, broken_pkts, delay: percentiles in ns and buckets [low, "
		"high, count]}.",
		flow_show, flow_params, sizeof(flow_params) / sizeof(flow_params[0]), sizeof(struct flow_params),
		RPC_READ_ONLY},
	{0},
};
