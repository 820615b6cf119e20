// The poll-mode loop: read the clock, poll the queues, forward, transmit, say "quiescent". Other
// files decide: switch.c where packets go, egress.c how they leave, idle.c when to sleep.
// Invariant: between two turns no packet is staged, so counters read there add up.
#include "worker.h"

#include "base/sparse.h"
#include "capture.h"
#include "decap.h"
#include "egress.h"
#include "eswitch.h"
#include "idle.h"
#include "io/guest_io.h"
#include "io/vhost_guard.h"
#include "pace.h"
#include "pass.h"
#include "rules.h"
#include "schedule.h"
#include "switch.h"
#include "trace.h"

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUPER_FRAME 65550 // bytes of the longest that a guest sends
#define TWO_TAGS 8

// How many packets may be read from it. 0: its ring is not read, because its queue at an egress
// port is full, or it owes bytes beyond max_rate.
static uint16_t
readable(struct worker *w, const struct view_port *vp)
{
	struct worker_port *wp = &w->port[vp->port->id];

	if (unlikely(wp->blocked_since_ns)) {
		counters_add(&wp->c.blocked_ns, w->now_ns - wp->blocked_since_ns);
		wp->blocked_since_ns = 0;
	}
	if (unlikely(atomic_load_explicit(&vp->port->held, memory_order_relaxed) > w->now_ns)) {
		wp->blocked_since_ns = w->now_ns;
		return 0;
	}
	if (likely(!vp->max_rate.rate))
		return PORT_BURST;
	return (uint16_t)RTE_MIN(rate_limit_room(&vp->max_rate, &vp->port->paid.max_rate,
					 vp->sends_super_frames ? SUPER_FRAME : vp->frame_max + TWO_TAGS, w->now_ns),
		(uint64_t)PORT_BURST);
}

// A burst of a port with a max_rate: its packets are limited as if each were the longest possible
// one.
static uint16_t
receive_limited(struct worker *w, const struct view_port *vp, uint16_t q, struct rte_mbuf **pkts, uint16_t max)
{
	uint16_t n = 0, got;

	while (max && (got = vp->port->device.io->rx(&vp->port->device, q, pkts + n, max))) {
		uint64_t bytes = 0;

		for (uint16_t i = 0; i < got; i++)
			bytes += pkts[n + i]->pkt_len;
		n = (uint16_t)(n + got);
		rate_limit_charge(&vp->max_rate, &vp->port->paid.max_rate, bytes, w->now_ns);
		max = RTE_MIN(readable(w, vp), (uint16_t)(PORT_BURST - n));
	}
	return n;
}

// Frames of one tunnel, as if they had come from a device of its own.
static void
receive_from_tunnel(struct worker *w, const struct view *view, uint16_t tunnel, struct rte_mbuf **pkts, uint16_t n)
{
	struct port_counters *c = &w->port[tunnel].c;
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < n; i++)
		bytes += pkts[i]->pkt_len;
	counters_add(&c->rx_pkts, n);
	counters_add(&c->rx_bytes, bytes);
	if (unlikely(view_port(view, tunnel)->capture))
		capture_burst(w, view_port(view, tunnel)->capture, pkts, n, false);
	switch_burst(w, view, tunnel, pkts, n);
}

static void
receive_from_tunnels(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n)
{
	struct decap_run run[PORT_BURST];
	uint16_t n_runs = decap(w, view, in, pkts, n, run);

	for (uint16_t i = 0; i < n_runs; i++)
		receive_from_tunnel(w, view, run[i].tunnel, &pkts[run[i].first], run[i].n);
}

// Packets of which more is read than headers; how many are left.
static uint16_t
read_whole(struct worker *w, uint16_t in, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t n_kept = pkt_keep_burst(w->pool, pkts, pkts, n);

	counters_add(&w->port[in].c.drops[DROP_NO_BUFFER], (uint64_t)(n - n_kept));
	return n_kept;
}

// Packets of a port were read: the clock is, too, which is when they arrived.
static void
arrive(struct worker *w, struct poll_queue *rxq, uint16_t n, uint64_t bytes)
{
	pace_work(w, n, bytes);
	pace_tick(w);
	pace_work(w, n, bytes);
	poll_set_found(rxq, w->now_ns);
}

static void
forward(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n)
{
	const struct view_port *vp = view_port(view, in);

	if (unlikely(vp->capture || vp->uplink))
		n = read_whole(w, in, pkts, n);
	if (unlikely(vp->capture))
		capture_burst(w, vp->capture, pkts, n, false);
	if (unlikely(vp->trace))
		trace_received(w, view, in, pkts, n);
	if (vp->uplink) {
		receive_from_tunnels(w, view, in, pkts, n);
		return;
	}
	if (unlikely(vp->eswitch))
		n = eswitch_take(w, view, in, pkts, n);
	if (n)
		switch_burst(w, view, in, pkts, n);
}

static void
count_received(struct worker *w, uint16_t in, uint16_t n, uint64_t bytes)
{
	struct port_counters *c = &w->port[in].c;

	counters_add(&c->rx_pkts, n);
	counters_add(&c->rx_bytes, bytes);
}

// pkts become those of port `in`. How many bytes they have.
static uint64_t
mark(struct rte_mbuf **pkts, uint16_t n, uint16_t in)
{
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < n; i++) {
		bytes += pkts[i]->pkt_len;
		pkts[i]->port = in; // the flow, at any egress port
	}
	return bytes;
}

// Frames of one tunnel that are no packets yet, from the uplink `in`.
static void
forward_frames(struct worker *w, const struct view *view, uint16_t in, uint16_t tunnel, uint16_t first, uint16_t n)
{
	const struct view_port *vp = view_port(view, tunnel);
	struct port_counters *c = &w->port[tunnel].c;
	struct rte_mbuf *pkts[PORT_BURST];
	uint64_t bytes = 0;
	uint32_t gone = vp->passes ? pass_burst(w, view, tunnel, first, n, &bytes) : 0;
	uint16_t n_gone = (uint16_t)__builtin_popcount(gone), n_left;

	counters_add(&c->rx_pkts, n_gone);
	counters_add(&c->rx_bytes, bytes);
	n_left = guest_io_wrap(&view_port(view, in)->port->device, first, n, gone, pkts);
	if (likely(!(n - n_gone)))
		return;
	counters_add(&w->port[in].c.drops[DROP_NO_BUFFER], (uint64_t)(n - n_gone - n_left));
	n_left = read_whole(w, in, pkts, n_left);
	(void)mark(pkts, n_left, tunnel);
	receive_from_tunnel(w, view, tunnel, pkts, n_left);
}

// From an uplink that is a guest's device.
static __rte_noinline void
forward_from_tunnels(struct worker *w, const struct view *view, uint16_t in, uint16_t n)
{
	struct device *device = &view_port(view, in)->port->device;
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t k = 0, run, tunnel;
	uint64_t bytes;

	while (k < n && (run = decap_frames(w, view, in, guest_io_taken() + k, (uint16_t)(n - k), &tunnel, &bytes))) {
		count_received(w, in, run, bytes);
		forward_frames(w, view, in, tunnel, k, run);
		k = (uint16_t)(k + run);
	}
	n = guest_io_wrap(device, k, (uint16_t)(n - k), 0, pkts);
	if (likely(!n))
		return;
	bytes = mark(pkts, n, in);
	count_received(w, in, n, bytes);
	forward(w, view, in, pkts, n);
}

// From a guest whose frames may pass.
static unsigned
poll_guest(struct worker *w, const struct view *view, struct poll_queue *rxq)
{
	struct device *device = &view_port(view, rxq->port)->port->device;
	const struct guest_frame *f = guest_io_taken();
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t n = guest_io_take(device, rxq->queue, PORT_BURST), n_left;
	uint64_t bytes = 0, bytes_passed;
	uint32_t gone;

	if (!n)
		return 0;
	for (uint16_t i = 0; i < n; i++)
		bytes += f[i].n_bytes;
	arrive(w, rxq, n, bytes);
	if (view_port(view, rxq->port)->uplink) {
		forward_from_tunnels(w, view, rxq->port, n);
		return n;
	}
	gone = pass_burst(w, view, rxq->port, 0, n, &bytes_passed);
	n_left = guest_io_wrap(device, 0, n, gone, pkts);
	bytes = bytes_passed + mark(pkts, n_left, rxq->port);
	count_received(w, rxq->port, (uint16_t)(__builtin_popcount(gone) + n_left), bytes);
	if (n_left)
		forward(w, view, rxq->port, pkts, n_left);
	return n;
}

// Receives from one queue and forwards.
static unsigned
read_queue(struct worker *w, const struct view *view, struct poll_queue *rxq)
{
	const struct view_port *in = view_port(view, rxq->port);
	struct device *device = &in->port->device;
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t n = readable(w, in);
	uint64_t bytes;

	rxq->is_held = !n;
	if (unlikely(!n)) {
		w->is_holding = true;
		poll_set_found(rxq, w->now_ns);
		return 0;
	}
	if (in->passes && device->io == &guest_io_ops && !guest_io_is_announced(device->priv))
		return poll_guest(w, view, rxq);
	if (unlikely(in->max_rate.rate))
		n = receive_limited(w, in, rxq->queue, pkts, n);
	else
		n = device->io->rx(device, rxq->queue, pkts, n);
	if (!n)
		return 0;
	bytes = mark(pkts, n, rxq->port);
	arrive(w, rxq, n, bytes);
	count_received(w, rxq->port, n, bytes);
	forward(w, view, rxq->port, pkts, n);
	return n;
}

// An idle guest's queue costs no more than this look. One that was held is read or held again: how
// long it was held is counted there.
static inline unsigned
poll_queue(struct worker *w, const struct view *view, struct poll_queue *q)
{
	unsigned n;

	if (q->guest && guest_io_is_quiet(q->guest, q->queue) && !q->is_held)
		return 0;
	n = read_queue(w, view, q);
	if (unlikely(w->n_uplinks))
		eswitch_serve(w, view);
	return n;
}

unsigned
worker_turn(struct worker *w, const struct view *view)
{
	struct poll_queue *q = w->polls.round.first;
	unsigned n = 0, n_port = 0;

	w->is_holding = false;
	for (uint32_t i = w->polls.round.n; i; i--, q = q->next) {
		n_port += poll_queue(w, view, q);
		// A guest spreads its packets over its queues: together they leave in longer
		// bursts.
		if (n_port && (i == 1 || q->next->port != q->port)) {
			egress_flush(w, view);
			guest_io_turn_step();
			n += n_port;
			n_port = 0;
		}
	}
	if (poll_set_is_due(&w->polls, w->now_ns)) {
		n += idle_look(w, view, poll_queue);
		egress_flush(w, view);
	}
	n += egress_drain(w, view);
	if (view->n_schedules)
		n += schedule_serve_all(w, view);
	if (unlikely(view->n_traces))
		trace_poll(w, view);
	guest_io_turn_end();
	return n;
}

static bool
poll_once(struct worker *w, const struct view *view)
{
	unsigned n = worker_turn(w, view);

	counters_add(&w->stats.pkts, n);
	return n;
}

void
worker_snapshot(struct worker *w, const struct view *view)
{
	for (uint16_t i = 0; i < view->n_ids; i++)
		if (view_port(view, i)->port)
			w->snap[i] = w->port[i].c;
	if (view->n_uplinks)
		decap_snapshot(w, view);
}

static void
answer_snapshot(struct worker *w, const struct view *view)
{
	uint32_t wanted = atomic_load_explicit(&w->snap_wanted, memory_order_acquire);

	if (likely(wanted == atomic_load_explicit(&w->snap_done, memory_order_relaxed)))
		return;
	worker_snapshot(w, view);
	atomic_store_explicit(&w->snap_done, wanted, memory_order_release);
}

int
worker_main(void *arg)
{
	struct worker *w = arg;
	struct env *env = w->env;
	uint64_t idle_since, last;

	vhost_guard_join(w->index);
	guest_io_turn_join(w->guests);
	atomic_store_explicit(&w->tid, (int)gettid(), memory_order_relaxed);
	rcu_begin(&env->rcu, w->index);
	last = w->step.tsc = rte_rdtsc();
	if (!w->stats.begin_tsc)
		__atomic_store_n(&w->stats.begin_tsc, last, __ATOMIC_RELAXED);
	idle_since = w->now_ns = clock_tsc_to_ns(&env->clock, last);
	while (likely(!atomic_load_explicit(&env->stop, memory_order_relaxed))) {
		uint64_t wakeup_gen = atomic_load_explicit(&env->wakeup_gen, memory_order_acquire);
		const struct view *view = atomic_load_explicit(&env->view, memory_order_acquire);
		unsigned n;

		w->now_s = (uint32_t)(w->now_ns / 1000000000);
		if (unlikely(view->gen != w->view_gen)) {
			if (view->gen != w->update.gen)
				egress_apply(w, view);
			schedule_update(w, view);
		}
		if (unlikely(view->gen != w->round_gen || wakeup_gen != w->wakeup_gen))
			idle_apply(w, view, wakeup_gen);
		n = worker_turn(w, view);
		answer_snapshot(w, view);
		pace_tick(w);
		counters_add(&w->stats.turns, 1);
		if (n) {
			counters_add(&w->stats.turns_with_work, 1);
			counters_add(&w->stats.pkts, n);
			counters_add(&w->stats.cycles_busy, w->step.tsc - last);
			idle_since = w->now_ns;
		} else if (atomic_load_explicit(&env->idle, memory_order_relaxed) == DP_IDLE_ADAPTIVE &&
			w->view_gen == view->gen &&
			w->now_ns - idle_since >= atomic_load_explicit(&env->idle_ns, memory_order_relaxed) &&
			w->now_ns >= w->awake_until_ns) {
			if (idle_sleep(w, view, poll_once))
				idle_since = w->now_ns;
		}
		last = w->step.tsc;
		rcu_quiescent(&env->rcu, w->index);
	}
	rcu_end(&env->rcu, w->index);
	return 0;
}

int
worker_create(struct env *env, uint16_t index, uint16_t cpu, unsigned lcore, struct worker **ret_worker)
{
	struct worker *w = rte_zmalloc("worker", sizeof(*w), RTE_CACHE_LINE_SIZE);
	void *flow_cache;

	if (!w)
		return -ENOMEM;
	w->env = env;
	env->waker[index] = &w->waker;
	w->index = index;
	w->cpu = cpu;
	w->lcore = lcore;
	w->pool = env->pool;
	w->epoll_fd = -1;
	w->port = sparse_alloc(DP_MAX_PORTS * sizeof(*w->port));
	w->snap = sparse_alloc(DP_MAX_PORTS * sizeof(*w->snap));
	w->waiting = sparse_alloc(DP_MAX_PORTS * sizeof(*w->waiting));
	w->polls.queue = sparse_alloc(DP_MAX_PORTS * DP_MAX_QUEUES * sizeof(*w->polls.queue));
	w->guests = guest_io_turn_create();
	flow_cache = sparse_alloc(flow_cache_memory_bytes(RULES_CACHE_PLACES));
	if (flow_cache)
		(void)flow_cache_init(&w->flows, RULES_CACHE_PLACES, flow_cache, rte_rand());
	if (waker_init(&w->waker) || !w->guests || !w->port || !w->snap || !w->waiting || !w->polls.queue ||
		!flow_cache) {
		worker_destroy(w);
		return -ENOMEM;
	}
	hist_init(&w->stats.stalls);
	*ret_worker = w;
	return 0;
}

void
worker_destroy(struct worker *w)
{
	if (!w)
		return;
	waker_fini(&w->waker);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	guest_io_turn_destroy(w->guests);
	sparse_free(w->port, DP_MAX_PORTS * sizeof(*w->port));
	sparse_free(w->snap, DP_MAX_PORTS * sizeof(*w->snap));
	sparse_free(w->waiting, DP_MAX_PORTS * sizeof(*w->waiting));
	sparse_free(w->flows.line, flow_cache_memory_bytes(RULES_CACHE_PLACES));
	sparse_free(w->polls.queue, DP_MAX_PORTS * DP_MAX_QUEUES * sizeof(*w->polls.queue));
	rte_free(w);
}
