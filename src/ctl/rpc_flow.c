// Methods of the noun flow: what ports' packets meet at egress ports, and on their way from other hosts.
#include "ctl.h"
#include "flow_json.h"
#include "port_json.h"

#include <errno.h>
#include <string.h>

#define N_AT_ONCE 4

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

static json_t *
remote_flow(const struct model_port *tunnel, const struct dp_delay *d)
{
	const struct flow_delay_stats *s = &d->stats;

	return json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "tunnel",
		tunnel->cfg.name, "flow", (int)d->flow, "received", (json_int_t)s->received, "lost",
		(json_int_t)s->lost, "reordered", (json_int_t)s->reordered, "late", (json_int_t)s->late, "duplicates",
		(json_int_t)s->duplicates, "restarts", (json_int_t)s->restarts, "missed", (json_int_t)s->missed,
		"unjudged", (json_int_t)s->unjudged, "impossible", (json_int_t)s->impossible, "worst_over_ns",
		(json_int_t)s->worst_over_ns, "worst_network_ns", (json_int_t)s->worst_network_ns, "delay",
		port_json_hist(&d->delay), "network", port_json_hist(&d->network));
}

static int
flow_remote(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct ctl *ctl = ctx;
	const struct flow_params *p = params;
	const struct model_port *only = p->port[0] ? model_port_find(ctl->model, p->port) : NULL;
	struct dp_delay delays[N_AT_ONCE];
	json_t *list;

	(void)present;
	if (p->port[0] && !only)
		return ctl_refuse_name(err, -ENOENT, "port", p->port);
	if (only && only->cfg.type != DP_PORT_GENEVE) {
		rpc_error_set(err, RPC_INVALID_PARAMS, "port: %s is not of type=geneve", p->port);
		return -1;
	}
	(void)dp_stats_refresh(ctl->dp);
	list = json_array();
	for (unsigned i = 0; i < ctl->model->n_ports; i++) {
		const struct model_port *tunnel = ctl->model->ports[i];
		uint32_t pos = 0;
		unsigned n;

		if (tunnel->cfg.type != DP_PORT_GENEVE || (only && only != tunnel))
			continue;
		do {
			n = dp_delay_list(ctl->dp, tunnel->id, &pos, delays, N_AT_ONCE);
			for (unsigned k = 0; k < n; k++)
				(void)json_array_append_new(list, remote_flow(tunnel, &delays[k]));
		} while (n == N_AT_ONCE);
	}
	return ctl_answer(ret_result, list, err);
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
	{"flow.remote",
		"Show what arrived through tunnels, by the port of the other host that sent it (its number there).",
		"List of {tunnel, flow, counts of packets, delay: end to end, network: less the time at the sender}; "
		"both "
		"as flow.show's. unjudged: packets whose deadline is below twice what is not known of the clocks.",
		flow_remote, flow_params, 1, sizeof(struct flow_params), RPC_READ_ONLY},
	{0},
};
