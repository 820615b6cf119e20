// Counters in a state: of ports, of those that are gone, and of workers. Loaded ones are added to
// what is there. A port's go to the worker that owns its egress; only sums over workers are told.
// Invariant: packets are conserved. A port that is not here adds to the sum of those that are gone,
// and a packet that waited is loaded later, or a drop.
#include "state_counters.h"

#include "state_hist.h"
#include "state_ids.h"
#include "state_names.h"

#include <rte_cycles.h>

#include <string.h>

struct saved_port {
	uint32_t port; // GONE: of all that are gone
	uint32_t is_tunnel;
	uint64_t rx_pkts, rx_bytes, tx_pkts, tx_bytes, replicated, to_daemon, queued, prewakes, guest_errors,
		blocked_ns;
};
#define GONE UINT32_MAX

// Behind it, of each reason that has some. Numbers of reasons have names, as ports have.
struct saved_drop {
	uint32_t reason, zero;
	uint64_t n;
};

struct saved_worker {
	uint32_t index, zero;
	uint64_t turns, turns_with_work, sleeps, cycles_busy, cycles_total, pkts, most_updated;
}; // then the histogram of stalls

struct saved_totals {
	uint64_t events_lost, log_errors, bus_errors;
};

static void
save_port(struct state_save *s, uint32_t number, bool is_tunnel, const struct dp_port_stats *stats)
{
	struct saved_port saved = {.port = number,
		.is_tunnel = is_tunnel,
		.rx_pkts = stats->rx_pkts,
		.rx_bytes = stats->rx_bytes,
		.tx_pkts = stats->tx_pkts,
		.tx_bytes = stats->tx_bytes,
		.replicated = stats->replicated,
		.to_daemon = stats->to_daemon,
		.queued = (uint64_t)RTE_MAX(stats->queued, 0),
		.prewakes = stats->prewakes,
		.guest_errors = stats->guest_errors,
		.blocked_ns = stats->blocked_ns};

	state_record_begin(&s->out, STATE_COUNTERS, 1);
	state_record_put(&s->out, &saved, sizeof(saved));
	for (uint32_t i = 0; i < DROP_COUNT; i++)
		if (stats->drops[i])
			state_record_put(&s->out, &(struct saved_drop){.reason = i, .n = stats->drops[i]},
				sizeof(struct saved_drop));
	state_record_end(&s->out);
}

static void
save_worker(struct state_save *s, const struct worker *w)
{
	struct saved_worker saved = {.index = w->index,
		.turns = w->stats.turns,
		.turns_with_work = w->stats.turns_with_work,
		.sleeps = w->stats.sleeps,
		.cycles_busy = w->stats.cycles_busy,
		.cycles_total = w->stats.begin_tsc ? rte_rdtsc() - w->stats.begin_tsc : 0,
		.pkts = w->stats.pkts,
		.most_updated = w->stats.most_updated};

	state_record_begin(&s->out, STATE_WORKER, 1);
	state_record_put(&s->out, &saved, sizeof(saved));
	state_hist_put(&s->out, &w->stats.stalls);
	state_record_end(&s->out);
}

void
state_counters_save(struct state_save *s)
{
	struct saved_totals totals = {.events_lost = atomic_load(&s->dp->env.events.lost),
		.log_errors = s->dp->log_errors,
		.bus_errors = s->dp->bus_errors};
	struct dp_port_stats stats;

	(void)dp_stats_refresh(s->dp); // of halted workers: 0
	for (uint32_t i = 0; i < DROP_COUNT; i++)
		state_names_put(&s->out, STATE_DROP, i, drop_names[i]);
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++)
		if (!dp_port_stats(s->dp, i, &stats))
			save_port(s, i, port_has(s->dp->port[i]->cfg.type, PORT_IS_VIRTUAL), &stats);
	dp_stats_gone(s->dp, &stats);
	save_port(s, GONE, false, &stats);
	for (unsigned i = 0; i < s->dp->env.n_workers; i++)
		save_worker(s, s->dp->worker[i]);
	state_record_begin(&s->out, STATE_TOTALS, 1);
	state_record_put(&s->out, &totals, sizeof(totals));
	state_record_end(&s->out);
}

bool
state_counters_load_drop(struct state_load *l, struct state_record *record)
{
	char name[RTVS_NAME_SIZE];
	uint32_t number;

	if (!state_names_take(record, &number, name) || number >= STATE_MAX_DROPS || l->drop[number])
		return false;
	for (uint16_t i = 0; i < DROP_COUNT; i++)
		if (!strcmp(drop_names[i], name)) {
			l->drop[number] = i + 1u;
			return true;
		}
	return false;
}

// A reason of another version, that has no name here.
static enum drop
drop_of(const struct state_load *l, uint32_t number)
{
	return number < STATE_MAX_DROPS && l->drop[number] ? l->drop[number] - 1u : DROP_NOT_TAKEN_OVER;
}

// Of a port that is not here, or of those that were gone before.
static void
add_gone(struct dp_port_stats *gone, const struct saved_port *saved, const uint64_t drops[DROP_COUNT])
{
	if (!saved->is_tunnel) { // else its uplink has them
		gone->rx_pkts += saved->rx_pkts;
		gone->rx_bytes += saved->rx_bytes;
		gone->tx_pkts += saved->tx_pkts;
		gone->tx_bytes += saved->tx_bytes;
	}
	gone->replicated += saved->replicated;
	gone->to_daemon += saved->to_daemon;
	gone->prewakes += saved->prewakes;
	gone->guest_errors += saved->guest_errors;
	gone->blocked_ns += saved->blocked_ns;
	for (unsigned i = 0; i < DROP_COUNT; i++)
		gone->drops[i] += drops[i];
	gone->drops[DROP_PORT_GONE] += saved->queued;
}

static void
add_to(struct port_counters *c, const struct saved_port *saved, const uint64_t drops[DROP_COUNT])
{
	c->rx_pkts += saved->rx_pkts;
	c->rx_bytes += saved->rx_bytes;
	c->tx_pkts += saved->tx_pkts;
	c->tx_bytes += saved->tx_bytes;
	c->replicated += saved->replicated;
	c->to_daemon += saved->to_daemon;
	c->prewakes += saved->prewakes;
	for (unsigned i = 0; i < DROP_COUNT; i++)
		c->drops[i] += drops[i];
}

static void
add(struct state_load *l, struct port *port, const struct saved_port *saved, const uint64_t drops[DROP_COUNT])
{
	struct port_counters *c = &l->dp->worker[port->path.owner]->port[port->path.id].c;

	add_to(c, saved, drops);
	c->queued_in += saved->queued;
	l->n_waiting[port->path.id] += saved->queued;
	// The longest of all workers is told.
	for (unsigned i = 0; i < l->dp->env.n_workers; i++)
		l->dp->worker[i]->port[port->path.id].c.blocked_ns += saved->blocked_ns;
	atomic_fetch_add(&port->path.device.guest_errors, saved->guest_errors);
}

// Of a port that comes later, and gets its number then: workers have its counters already. It will
// be another device, for which nothing waits.
static void
add_early(struct dp *dp, const struct saved_port *saved, const uint64_t drops[DROP_COUNT])
{
	struct port_counters *c = &dp->worker[saved->port % dp->env.n_workers]->port[saved->port].c;

	add_to(c, saved, drops);
	c->drops[DROP_NOT_TAKEN_OVER] += saved->queued;
	c->blocked_ns += saved->blocked_ns;
	dp->gone.guest_errors += saved->guest_errors;
}

bool
state_counters_load_port(struct state_load *l, struct state_record *record)
{
	uint64_t drops[DROP_COUNT] = {0};
	struct saved_port saved;
	struct saved_drop drop;
	struct port *port;

	if (!state_record_take(record, &saved, sizeof(saved)) || record->left % sizeof(drop) ||
		(saved.port != GONE && saved.port >= DP_MAX_PORTS) || saved.is_tunnel > 1 || saved.queued > UINT32_MAX)
		return false;
	if (saved.port == GONE ? l->has_gone : port_set_has(&l->counted, (uint16_t)saved.port))
		return false;
	while (state_record_take(record, &drop, sizeof(drop)))
		drops[drop_of(l, drop.reason)] += drop.n;
	port = state_port(l, saved.port);
	if (port)
		add(l, port, &saved, drops);
	else if (saved.port != GONE && state_ids_has(l->dp, saved.port))
		add_early(l->dp, &saved, drops);
	else
		add_gone(&l->dp->gone, &saved, drops);
	if (saved.port == GONE)
		l->has_gone = true;
	else
		port_set_add(&l->counted, (uint16_t)saved.port);
	return true;
}

bool
state_counters_load_worker(struct state_load *l, struct state_record *record)
{
	struct worker_loop_stats *stats;
	struct saved_worker saved;
	struct hist stalls;

	if (!state_record_take(record, &saved, sizeof(saved)) || !state_hist_take(record, &stalls) || record->left ||
		saved.index >= l->dp->env.n_workers || saved.zero)
		return false;
	stats = &l->dp->worker[saved.index]->stats;
	stats->turns += saved.turns;
	stats->turns_with_work += saved.turns_with_work;
	stats->sleeps += saved.sleeps;
	stats->cycles_busy += saved.cycles_busy;
	stats->pkts += saved.pkts;
	stats->most_updated = RTE_MAX(stats->most_updated, saved.most_updated);
	stats->begin_tsc = (stats->begin_tsc ? stats->begin_tsc : rte_rdtsc()) - saved.cycles_total;
	hist_merge(&stats->stalls, &stalls);
	return true;
}

bool
state_counters_load_totals(struct state_load *l, struct state_record *record)
{
	struct saved_totals totals;

	if (!state_take_all(record, &totals, sizeof(totals)))
		return false;
	atomic_fetch_add(&l->dp->env.events.lost, totals.events_lost);
	atomic_fetch_add(&l->dp->log_errors, totals.log_errors);
	atomic_fetch_add(&l->dp->bus_errors, totals.bus_errors);
	return true;
}

void
state_counters_finish(struct state_load *l)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct port_counters *c;

		if (!l->n_waiting[i])
			continue;
		c = &l->dp->worker[l->dp->port[i]->path.owner]->port[i].c;
		c->queued_out += l->n_waiting[i];
		c->drops[DROP_NOT_TAKEN_OVER] += l->n_waiting[i];
		l->told->n_pkts_lost += l->n_waiting[i];
	}
	(void)dp_stats_refresh(l->dp); // of halted workers: 0
}
