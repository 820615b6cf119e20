// Accounts of flows that arrive through tunnels (rtvs/flow_delay.h), in a state: without them each
// flow would seem to begin anew, and reports to the other host would go back. The other host's
// clock is the control plane's to tell again; until then no packet is judged.
#include "state_flows.h"

#include "state_hist.h"
#include "tunnel.h"

// What a flow may save up for reports (rtvs/flow_delay.h).
#define CREDIT_MAX ((uint64_t)FLOW_DELAY_BURST * FLOW_DELAY_REPORT_BYTES * FLOW_DELAY_SHARE)

struct saved_flow {
	uint32_t tunnel, flow; // flow: number of the port there
	uint64_t received, lost, reordered, late, duplicates, restarts, missed, unjudged, impossible, worst_over_ns,
		worst_network_ns, deadline_ns, uncertainty_ns;
	uint64_t top, seen, stray_next;
	uint32_t has_top, n_strays;
	struct { // the next report
		uint64_t received, lost, missed, worst_over_ns, worst_network_ns, uncertainty_ns, last_seq;
		uint32_t flags;
	} next;
	uint32_t told, n_repeats, has_told;
	uint64_t told_ns, credit;
}; // then histograms of delays and of the network's part
_Static_assert(sizeof(struct saved_flow) % 8 == 0, "records are aligned");

static void
save_flow(struct state_save *s, uint32_t tunnel, uint16_t flow, const struct decap_flow *f)
{
	const struct flow_delay *a = &f->account;
	struct saved_flow saved = {.tunnel = tunnel,
		.flow = flow,
		.received = a->stats.received,
		.lost = a->stats.lost,
		.reordered = a->stats.reordered,
		.late = a->stats.late,
		.duplicates = a->stats.duplicates,
		.restarts = a->stats.restarts,
		.missed = a->stats.missed,
		.unjudged = a->stats.unjudged,
		.impossible = a->stats.impossible,
		.worst_over_ns = a->stats.worst_over_ns,
		.worst_network_ns = a->stats.worst_network_ns,
		.deadline_ns = a->stats.deadline_ns,
		.uncertainty_ns = a->stats.uncertainty_ns,
		.top = a->top,
		.seen = a->seen,
		.stray_next = a->stray_next,
		.has_top = a->has_top,
		.n_strays = a->n_strays,
		.next = {a->next.received, a->next.lost, a->next.missed, a->next.worst_over_ns,
			a->next.worst_network_ns, a->next.uncertainty_ns, a->next.last_seq, a->next.flags},
		.told = a->told,
		.n_repeats = a->n_repeats,
		.has_told = a->has_told,
		.told_ns = state_saved_ns(s, a->told_ns),
		.credit = a->credit};

	state_record_begin(&s->out, STATE_FLOW, 1);
	state_record_put(&s->out, &saved, sizeof(saved));
	state_hist_put(&s->out, &f->delay);
	state_hist_put(&s->out, &f->network);
	state_record_end(&s->out);
}

void
state_flows_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++) {
		const struct port *port = s->dp->port[i];
		const struct decap_delays *d;

		if (!port || !port_has(port->cfg.type, PORT_IS_TUNNEL))
			continue;
		d = tunnel_delays(port);
		for (uint32_t k = 0; k < d->n_listed; k++)
			save_flow(s, i, d->listed[k], d->flow[d->listed[k]]);
	}
}

static bool
is_sound(const struct saved_flow *saved)
{
	return saved->flow < DP_MAX_PORTS && saved->has_top <= 1 && saved->has_told <= 1 &&
		saved->told <= FLOW_DELAY_BLIND && saved->n_repeats <= FLOW_DELAY_REPEATS &&
		saved->n_strays < FLOW_DELAY_RESTART_RUN && !(saved->next.flags & ~FLOW_DELAY_UNJUDGED);
}

bool
state_flows_load(struct state_load *l, struct state_record *record)
{
	struct hist delay, network;
	struct saved_flow saved;
	struct decap_flow *f;
	struct port *tunnel;

	if (!state_record_take(record, &saved, sizeof(saved)) || !state_hist_take(record, &delay) ||
		!state_hist_take(record, &network) || record->left || !is_sound(&saved))
		return false;
	tunnel = state_port(l, saved.tunnel);
	if (!tunnel || !port_has(tunnel->cfg.type, PORT_IS_TUNNEL))
		return false;
	f = tunnel_measure(l->dp, tunnel, (uint16_t)saved.flow);
	if (!f || f->account.has_top) // no room, or it has begun here
		return false;
	f->account = (struct flow_delay){
		.stats = {.received = saved.received,
			.lost = saved.lost,
			.reordered = saved.reordered,
			.late = saved.late,
			.duplicates = saved.duplicates,
			.restarts = saved.restarts,
			.missed = saved.missed,
			.unjudged = saved.unjudged,
			.impossible = saved.impossible,
			.worst_over_ns = saved.worst_over_ns,
			.worst_network_ns = saved.worst_network_ns,
			.deadline_ns = saved.deadline_ns,
			.uncertainty_ns = saved.uncertainty_ns},
		.delay = &f->delay,
		.network = &f->network,
		.top = saved.top,
		.seen = saved.seen,
		.stray_next = saved.stray_next,
		.has_top = saved.has_top,
		.n_strays = saved.n_strays,
		.next = {.received = saved.next.received,
			.lost = saved.next.lost,
			.missed = saved.next.missed,
			.worst_over_ns = saved.next.worst_over_ns,
			.worst_network_ns = saved.next.worst_network_ns,
			.uncertainty_ns = saved.next.uncertainty_ns,
			.last_seq = saved.next.last_seq,
			.flags = (uint16_t)saved.next.flags},
		.told = (enum flow_delay_state)saved.told,
		.n_repeats = saved.n_repeats,
		.has_told = saved.has_told,
		.told_ns = RTE_MIN(state_loaded_ns(l, saved.told_ns), l->now_ns),
		.credit = RTE_MIN(saved.credit, CREDIT_MAX),
	};
	hist_merge(&f->delay, &delay);
	hist_merge(&f->network, &network);
	l->told->n_flows++;
	return true;
}
