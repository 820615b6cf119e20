// Turns the datapath's flows into JSON, for rpc_flow.c and rpc_stats.c. No decisions: names and
// order of members, and the walks over the flows of an egress port or a tunnel.
#include "flow_json.h"

#include "plane.h"
#include "port_json.h"
#include "rtvs/units.h"

#include <string.h>

#define N_AT_ONCE 4

json_t *
flow_json_counters(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_sender *f)
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

json_t *
flow_json_delay(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_sender *f)
{
	char deadline[UNITS_TEXT_SIZE];

	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "port", out->name, "from", from->name, "deadline",
		units_format_time(from->deadline_ns, deadline), "missed_pkts", (json_int_t)f->missed_pkts,
		"broken_pkts", (json_int_t)f->broken_pkts, "delay", port_json_hist(&f->delay));
}

void
flow_json_add(const struct plane *plane, const struct model_port *out, const char *from, flow_json_fn *fn, json_t *list)
{
	struct dp_sender flows[N_AT_ONCE];
	uint32_t pos = 0;
	unsigned n;

	do {
		n = dp_sender_list(plane->dp, out->id, &pos, flows, N_AT_ONCE);
		for (unsigned i = 0; i < n; i++) {
			const struct model_port *sender = model_port_sender(plane->model, flows[i].port);

			if (sender && (!from[0] || !strcmp(sender->cfg.name, from)))
				(void)json_array_append_new(list, fn(&out->cfg, &sender->cfg, &flows[i]));
		}
	} while (n == N_AT_ONCE);
}

// The average time at the sender: the difference of the two delays.
static uint64_t
mean_residence_ns(const struct dp_delay *d)
{
	return d->delay.count && d->delay.sum > d->network.sum ? (d->delay.sum - d->network.sum) / d->delay.count : 0;
}

json_t *
flow_json_remote_counters(const struct model_port *tunnel, const struct dp_delay *d)
{
	const struct flow_delay_stats *s = &d->stats;
	const struct hist *h = &d->delay;
	bool is_clock_known = s->uncertainty_ns <= INT64_MAX;
	char deadline[UNITS_TEXT_SIZE];

	return json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:I, s:I, s:I, s:I, s:I}",
		"tunnel", tunnel->cfg.name, "flow", (int)d->flow, "deadline",
		units_format_time(s->deadline_ns, deadline), "received", (json_int_t)s->received, "lost",
		(json_int_t)s->lost, "reordered", (json_int_t)s->reordered, "late", (json_int_t)s->late, "duplicates",
		(json_int_t)s->duplicates, "restarts", (json_int_t)s->restarts, "missed", (json_int_t)s->missed,
		"unjudged", (json_int_t)s->unjudged, "impossible", (json_int_t)s->impossible, "uncertainty_ns",
		is_clock_known ? json_integer((json_int_t)s->uncertainty_ns) : json_null(), "worst_over_ns",
		(json_int_t)s->worst_over_ns, "worst_network_ns", (json_int_t)s->worst_network_ns, "mean_residence_ns",
		(json_int_t)mean_residence_ns(d), "p50_ns", (json_int_t)hist_percentile(h, 50000), "p90_ns",
		(json_int_t)hist_percentile(h, 90000), "p99_ns", (json_int_t)hist_percentile(h, 99000), "p99_9_ns",
		(json_int_t)hist_percentile(h, 99900), "p99_99_ns", (json_int_t)hist_percentile(h, 99990), "max_ns",
		(json_int_t)h->max, "network_p50_ns", (json_int_t)hist_percentile(&d->network, 50000), "network_p99_ns",
		(json_int_t)hist_percentile(&d->network, 99000));
}

json_t *
flow_json_remote_delay(const struct model_port *tunnel, const struct dp_delay *d)
{
	json_t *flow = flow_json_remote_counters(tunnel, d);

	(void)json_object_set_new(flow, "delay", port_json_hist(&d->delay));
	(void)json_object_set_new(flow, "network", port_json_hist(&d->network));
	return flow;
}

void
flow_json_add_remote(const struct plane *plane, const struct model_port *tunnel, uint32_t flow, flow_json_remote_fn *fn,
	json_t *list)
{
	struct dp_delay delays[N_AT_ONCE];
	uint32_t pos = 0;
	unsigned n;

	if (!port_has(tunnel->cfg.type, PORT_IS_TUNNEL))
		return;
	do {
		n = dp_delay_list(plane->dp, tunnel->id, &pos, delays, N_AT_ONCE);
		for (unsigned i = 0; i < n; i++)
			if (flow == FLOW_JSON_ALL || flow == delays[i].flow)
				(void)json_array_append_new(list, fn(tunnel, &delays[i]));
	} while (n == N_AT_ONCE);
}
