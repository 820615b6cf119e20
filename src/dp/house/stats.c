// Counters and states as the control thread reads them (rtvs/dp.h).
// Invariant: a port's counters move to dp->gone before its id is free, so that sums over all ports
// never lose a packet.
#include "stats.h"

#include "dp_state.h"
#include "path/schedule.h"
#include "port_type.h"
#include "traces.h"
#include "tunnel.h"

#include <rte_cycles.h>

#include <errno.h>
#include <sched.h>
#include <string.h>

#define SNAPSHOT_TIMEOUT_NS UINT64_C(100000000)

static void
add_counters(struct dp_port_stats *sum, const struct port_counters *c)
{
	sum->rx_pkts += c->rx_pkts;
	sum->rx_bytes += c->rx_bytes;
	sum->tx_pkts += c->tx_pkts;
	sum->tx_bytes += c->tx_bytes;
	sum->replicated += c->replicated;
	sum->to_daemon += c->to_daemon;
	sum->prewakes += c->prewakes;
	sum->queued += (int64_t)(c->queued_in - c->queued_out);
	for (unsigned i = 0; i < DROP_COUNT; i++)
		sum->drops[i] += c->drops[i];
}

static void
move_lost(const struct port *port, struct dp_port_stats *stats)
{
	uint64_t lost = port->type->tx_lost ? port->type->tx_lost(port) : 0;

	lost = RTE_MIN(lost, stats->tx_pkts);
	stats->tx_pkts -= lost;
	stats->drops[DROP_TX_ERROR] += lost;
}

void
stats_retire_id(struct dp *dp, uint16_t id)
{
	uint64_t blocked_ns = 0;

	for (unsigned i = 0; i < dp->env.n_workers; i++) {
		struct worker *w = dp->worker[i];

		add_counters(&dp->gone, &w->port[id].c);
		blocked_ns = RTE_MAX(blocked_ns, w->port[id].c.blocked_ns);
		memset(&w->port[id], 0, sizeof(w->port[id]));
		memset(&w->snap[id], 0, sizeof(w->snap[id]));
	}
	dp->gone.blocked_ns += blocked_ns;
}

// No worker uses the port any more: what was on its way to it is dropped, its counters are history.
void
stats_retire(struct dp *dp, struct port *port)
{
	struct dp_port_stats *gone = &dp->gone;
	int64_t queued = gone->queued;

	mailbox_clear(&port->path.handoff);
	for (unsigned i = 0; i < dp->env.n_workers; i++) {
		struct worker *w = dp->worker[i];

		if (port_has(port->cfg.type, PORT_IS_VIRTUAL)) // other ports count them, too
			w->port[port->path.id].c.rx_pkts = w->port[port->path.id].c.rx_bytes =
				w->port[port->path.id].c.tx_pkts = w->port[port->path.id].c.tx_bytes = 0;
	}
	stats_retire_id(dp, port->path.id);
	move_lost(port, gone);
	gone->drops[DROP_PORT_GONE] += (uint64_t)(gone->queued - queued);
	gone->queued = queued;
	gone->guest_errors += atomic_load(&port->path.device.guest_errors);
}

uint64_t
dp_flow_seq(const struct dp *dp, unsigned tunnel, unsigned id)
{
	const struct port *port = tunnel < DP_MAX_PORTS ? dp->port[tunnel] : NULL;

	if (!port || !port_has(port->cfg.type, PORT_IS_TUNNEL) || id >= DP_MAX_PORTS)
		return 0;
	return __atomic_load_n(&tunnel_seq(port)[id], __ATOMIC_RELAXED) +
		__atomic_load_n(&tunnel_queued(port)[id], __ATOMIC_RELAXED);
}

int
dp_port_state(const struct dp *dp, unsigned id, struct dp_port_state *ret_state)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	if (!port)
		return -ENOENT;
	*ret_state = (struct dp_port_state){.is_link_up = atomic_load(&port->path.device.is_up),
		.mtu = port->cfg.mtu,
		.worker = port->path.owner,
		.wake_ns = traces_wake_ns(port)};
	port->type->state(port, ret_state);
	return 0;
}

unsigned
dp_sender_list(const struct dp *dp, unsigned id, uint32_t *pos, struct dp_sender *ret_flows, unsigned max)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	uint64_t now_ns = clock_now_ns(&dp->env.clock);
	unsigned n = 0;

	while (port && port->schedule && n < max && schedule_next_sender(port->schedule, pos, now_ns, &ret_flows[n])) {
		unsigned from = ret_flows[n].port;

		n += from == DP_MAX_PORTS || dp->port[from];
	}
	return n;
}

uint64_t
dp_port_held_ns(const struct dp *dp, unsigned id, unsigned by)
{
	const struct port *port = by < DP_MAX_PORTS ? dp->port[by] : NULL;

	return port && port->schedule && id < DP_MAX_PORTS && dp->port[id] ?
		schedule_held_ns(port->schedule, (uint16_t)id) :
		0;
}

uint32_t
dp_port_n_macs(const struct dp *dp, unsigned id)
{
	return id < DP_MAX_PORTS && dp->port[id] ? (uint32_t)RTE_MAX(atomic_load(&dp->port[id]->path.n_macs), 0) : 0;
}

// What workers do between two turns, for those that make none.
static void
copy_counters(struct dp *dp)
{
	const struct view *view = atomic_load(&dp->env.view);

	for (unsigned i = 0; i < dp->env.n_workers; i++)
		worker_snapshot(dp->worker[i], view);
}

int
dp_stats_refresh(struct dp *dp)
{
	uint64_t deadline = clock_now_ns(&dp->env.clock) + SNAPSHOT_TIMEOUT_NS;

	if (!dp->is_running) {
		copy_counters(dp);
		return 0;
	}
	for (unsigned i = 0; i < dp->env.n_workers; i++) {
		atomic_fetch_add_explicit(&dp->worker[i]->snap_wanted, 1, memory_order_release);
		waker_wake(&dp->worker[i]->waker);
	}
	for (unsigned i = 0; i < dp->env.n_workers; i++) {
		struct worker *w = dp->worker[i];

		while (atomic_load_explicit(&w->snap_done, memory_order_acquire) != atomic_load(&w->snap_wanted)) {
			if (clock_now_ns(&dp->env.clock) > deadline)
				return -ETIMEDOUT;
			sched_yield();
		}
	}
	return 0;
}

static void
add_snapshots(const struct dp *dp, const struct port *port, struct dp_port_stats *sum)
{
	uint64_t blocked_ns = 0;

	for (unsigned i = 0; i < dp->env.n_workers; i++) {
		const struct port_counters *c = &dp->worker[i]->snap[port->path.id];

		add_counters(sum, c);
		// Workers leave its queues alone at the same time: that is not to be counted twice.
		blocked_ns = RTE_MAX(blocked_ns, c->blocked_ns);
	}
	move_lost(port, sum);
	sum->guest_errors += atomic_load(&port->path.device.guest_errors);
	sum->blocked_ns += blocked_ns;
}

int
dp_port_stats(const struct dp *dp, unsigned id, struct dp_port_stats *ret_stats)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	if (!port)
		return -ENOENT;
	memset(ret_stats, 0, sizeof(*ret_stats));
	add_snapshots(dp, port, ret_stats);
	return 0;
}

void
dp_stats_gone(const struct dp *dp, struct dp_port_stats *ret_stats)
{
	*ret_stats = dp->gone;
	for (const struct port *port = dp->removed; port; port = port->next_removed)
		add_snapshots(dp, port, ret_stats);
}

int
dp_worker_stats(const struct dp *dp, unsigned index, struct dp_worker_stats *ret_stats)
{
	const struct worker *w;

	if (index >= dp->env.n_workers)
		return -ENOENT;
	w = dp->worker[index];
	*ret_stats = (struct dp_worker_stats){
		.cpu = w->cpu,
		.tid = atomic_load_explicit(&w->tid, memory_order_relaxed),
		.priority = dp->priority,
		.turns = __atomic_load_n(&w->stats.turns, __ATOMIC_RELAXED),
		.turns_with_work = __atomic_load_n(&w->stats.turns_with_work, __ATOMIC_RELAXED),
		.sleeps = __atomic_load_n(&w->stats.sleeps, __ATOMIC_RELAXED),
		.cycles_busy = __atomic_load_n(&w->stats.cycles_busy, __ATOMIC_RELAXED),
		.cycles_total = rte_rdtsc() - __atomic_load_n(&w->stats.begin_tsc, __ATOMIC_RELAXED),
		.tsc_hz = dp->env.clock.tsc_hz,
		.pkts = __atomic_load_n(&w->stats.pkts, __ATOMIC_RELAXED),
		.events_lost = atomic_load(&dp->env.events.lost),
		.most_updated = __atomic_load_n(&w->stats.most_updated, __ATOMIC_RELAXED),
	};
	hist_init(&ret_stats->stalls);
	hist_merge(&ret_stats->stalls, &w->stats.stalls);
	return 0;
}

unsigned
dp_worker_stalls(const struct dp *dp, unsigned index, struct dp_stall ret_stalls[DP_STALLS_KEPT])
{
	const struct worker_stall_log *log;
	uint64_t now_ns = clock_now_ns(&dp->env.clock), end, begin, kept = 0, overwritten;

	if (index >= dp->env.n_workers)
		return 0;
	log = &dp->worker[index]->stall_log;
	end = atomic_load_explicit(&log->n, memory_order_acquire);
	begin = end > DP_STALLS_KEPT ? end - DP_STALLS_KEPT : 0;
	for (uint64_t i = begin; i < end; i++) {
		uint64_t at_ns = atomic_load_explicit(&log->end_ns[i % DP_STALLS_KEPT], memory_order_relaxed);

		ret_stalls[kept++] = (struct dp_stall){.number = i,
			.ago_ns = now_ns > at_ns ? now_ns - at_ns : 0,
			.took_ns = atomic_load_explicit(&log->took_ns[i % DP_STALLS_KEPT], memory_order_relaxed)};
	}
	// Values that the worker has written since, or is writing.
	atomic_thread_fence(memory_order_acquire);
	overwritten = atomic_load_explicit(&log->n, memory_order_relaxed) + 1;
	overwritten = overwritten > DP_STALLS_KEPT ? RTE_MIN(overwritten - DP_STALLS_KEPT, end) : 0;
	if (overwritten <= begin)
		return (unsigned)kept;
	kept -= overwritten - begin;
	memmove(ret_stalls, ret_stalls + (overwritten - begin), kept * sizeof(*ret_stalls));
	return (unsigned)kept;
}
