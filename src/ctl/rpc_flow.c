// Methods of the noun flow: what the ports' packets meet at egress ports.
#include "ctl.h"
#include "port_json.h"
#include "rtvs/units.h"

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

static json_t *
flow_json(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_flow *f)
{
	const struct hist *h = &f->delay;
	char deadline[UNITS_TEXT_SIZE];

	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:I}",
		"port", out->name, "from", from->name, "deadline", units_format_time(from->deadline_ns, deadline),
		"queued", (json_int_t)f->n_queued, "guaranteed_pkts", (json_int_t)f->guaranteed_pkts,
		"guaranteed_bytes", (json_int_t)f->guaranteed_bytes, "surplus_pkts", (json_int_t)f->surplus_pkts,
		"surplus_bytes", (json_int_t)f->surplus_bytes, "missed_pkts", (json_int_t)f->missed_pkts, "broken_pkts",
		(json_int_t)f->broken_pkts, "late_pkts", (json_int_t)f->late_pkts, "worst_late_ns",
		(json_int_t)f->worst_late_ns, "tokens_bytes", (json_int_t)f->tokens_bytes, "delay_count",
		(json_int_t)h->count, "p50_ns", (json_int_t)hist_percentile(h, 50000), "p90_ns",
		(json_int_t)hist_percentile(h, 90000), "p99_ns", (json_int_t)hist_percentile(h, 99000), "p99_9_ns",
		(json_int_t)hist_percentile(h, 99900), "p99_99_ns", (json_int_t)hist_percentile(h, 99990), "max_ns",
		(json_int_t)h->max);
}

static json_t *
flow_with_delay(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_flow *f)
{
	char deadline[UNITS_TEXT_SIZE];

	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "port", out->name, "from", from->name, "deadline",
		units_format_time(from->deadline_ns, deadline), "missed_pkts", (json_int_t)f->missed_pkts,
		"broken_pkts", (json_int_t)f->broken_pkts, "delay", port_json_hist(&f->delay));
}

typedef json_t *flow_json_fn(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_flow *f);

static void
add_flows(const struct ctl *ctl, const struct model_port *out, const char *from, flow_json_fn *fn, json_t *list)
{
	struct dp_flow flows[N_AT_ONCE];
	uint32_t pos = 0;
	unsigned n;

	do {
		n = dp_flow_list(ctl->dp, out->id, &pos, flows, N_AT_ONCE);
		for (unsigned i = 0; i < n; i++) {
			const struct model_port *sender = ctl->model->port_by_id[flows[i].port];

			if (sender && (!from[0] || !strcmp(sender->cfg.name, from)))
				(void)json_array_append_new(list, fn(&out->cfg, &sender->cfg, &flows[i]));
		}
	} while (n == N_AT_ONCE);
}

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
			add_flows(ctl, ctl->model->ports[i], p->from, fn, list);
	return ctl_answer(ret_result, list, err);
}

static int
flow_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)present;
	return answer_flows(ctx, params, flow_json, ret_result, err);
}

static int
flow_show(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	(void)present;
	return answer_flows(ctx, params, flow_with_delay, ret_result, err);
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
