// Packets between the stage and the port. A burst passes at once when no packet waits. A port that
// takes no more, or a busy link, makes packets queue. Packets that passed or were dequeued, and
// that the device did not take, wait in `pending`, a stage at most: the scheduler has decided about
// them. A device that takes nothing for PENDING_MAX_NS loses one packet a turn. A flow whose queue
// is full loses packets at its limit, unless its sender may be held back (backpressure.c): a slow
// receiver never slows another.
#include "schedule.h"

#include "backpressure.h"
#include "base/pkt.h"
#include "capture.h"
#include "encap.h"
#include "pace.h"
#include "trace.h"
#include "transmit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Time that a late worker may make up for, and so the excess of a port's queue over its rate. Hosts
// without isolated cores take a worker's core for about as long.
#define LINK_SLACK_NS 1000000
#define SERVE_BURSTS 4 // of one port in a turn
// Of pending packets: Linux's shortest retransmission timeout, after which their sender has sent
// most of them again.
#define PENDING_MAX_NS 200000000
// A sender has at most 1/8 of all buffers waiting, and at one port no more than the rest of that. A
// flood to slow ports then takes neither the buffers of others nor those of the sender (an uplink)
// for further ports. Choudhury and Hahne (1998). Buffers, not packets: a super-frame takes some
// thirty.
#define SENDER_SHARE 8
#define BLOCKED_POLL_NS 500000 // a receiver that took nothing is asked again

struct schedule {
	struct sched s;
	void *memory;
	uint16_t n_pending;
	uint64_t taken_ns; // when the device last took a packet, or the first pending one became so
	// When the device first took nothing, 0: it took the last packet that it was offered.
	uint64_t refused_ns;
	struct rte_mbuf *pending[WORKER_STAGE];
	struct backpressure back;
	uint32_t n_buffers[DP_MAX_PORTS]; // of each flow's packets in s
	uint64_t serial[DP_MAX_PORTS]; // of the port whose packets each flow has counted; dp
	_Atomic(struct hist *) delay[DP_MAX_PORTS]; // ctl: wo, dp: ro
	_Atomic uint64_t tokens_bytes[DP_MAX_PORTS]; // as of the last snapshot; dp: wo, ctl: ro
};

int
schedule_create(struct schedule **ret_schedule, uint64_t now_ns)
{
	// Of the C library: DPDK's allocator is locked where ThreadSanitizer does not see it.
	struct schedule *q = aligned_alloc(SCHED_ALIGN, RTE_ALIGN_CEIL(sizeof(*q), SCHED_ALIGN));

	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	q->memory = aligned_alloc(SCHED_ALIGN, sched_memory_bytes(DP_MAX_PORTS));
	if (!q->memory) {
		free(q);
		return -ENOMEM;
	}
	sched_init(&q->s, DP_MAX_PORTS, q->memory, now_ns);
	*ret_schedule = q;
	return 0;
}

void
schedule_destroy(struct schedule *q)
{
	struct sched_item *item;

	if (!q)
		return;
	pkt_free_burst(q->pending, q->n_pending);
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++) {
		while ((item = sched_flush(&q->s, i)))
			pkt_free(pkt_of_item(item));
		free(q->delay[i]);
	}
	free(q->memory);
	free(q);
}

int
schedule_keep_delay(struct schedule *q, uint16_t flow)
{
	struct hist *h;

	if (q->delay[flow])
		return 0;
	h = malloc(sizeof(*h));
	if (!h)
		return -ENOMEM;
	hist_init(h);
	atomic_store(&q->delay[flow], h);
	return 0;
}

void
schedule_snapshot(struct worker *w, const struct view *view)
{
	const struct view_worker *mine = view->worker[w->index];

	for (uint16_t i = 0; i < mine->n_owned; i++) {
		struct schedule *q = view_port(view, mine->owned[i])->schedule;

		for (uint16_t flow = 0; q && flow < DP_MAX_PORTS; flow++)
			atomic_store_explicit(
				&q->tokens_bytes[flow], sched_tokens(&q->s, flow, w->now_ns), memory_order_relaxed);
	}
}

static uint64_t
load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

uint64_t
schedule_held_ns(const struct schedule *q, uint16_t sender)
{
	return atomic_load_explicit(&q->back.held_ns[sender], memory_order_relaxed);
}

bool
schedule_flow(const struct schedule *q, uint16_t flow, struct dp_flow *ret_flow)
{
	const struct sched_flow *f = &q->s.flow[flow];
	const struct hist *delay = atomic_load(&q->delay[flow]);

	ret_flow->n_queued = __atomic_load_n(&f->n_queued, __ATOMIC_RELAXED);
	ret_flow->tokens_bytes = atomic_load_explicit(&q->tokens_bytes[flow], memory_order_relaxed);
	ret_flow->guaranteed_pkts = load(&f->stats.guaranteed_pkts);
	ret_flow->guaranteed_bytes = load(&f->stats.guaranteed_bytes);
	ret_flow->surplus_pkts = load(&f->stats.surplus_pkts);
	ret_flow->surplus_bytes = load(&f->stats.surplus_bytes);
	ret_flow->missed_pkts = load(&f->stats.missed_pkts);
	ret_flow->broken_pkts = load(&f->stats.broken_pkts);
	ret_flow->late_pkts = load(&f->stats.late_pkts);
	ret_flow->worst_late_ns = load(&f->stats.worst_late_ns);
	hist_init(&ret_flow->delay);
	if (delay)
		hist_merge(&ret_flow->delay, delay);
	return delay || ret_flow->n_queued || ret_flow->guaranteed_pkts || ret_flow->surplus_pkts ||
		ret_flow->late_pkts;
}

// m waits here (by: 1), or does no longer (-1).
static void
count_waiting(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m, int by)
{
	int n_buffers = by * m->nb_segs;

	view_port(view, out)->schedule->n_buffers[m->port] += (uint32_t)n_buffers;
	w->n_waiting[m->port] += (uint32_t)n_buffers;
	if (view_port(view, out)->uplink)
		encap_queued(view, m, by);
}

// How full the queue of a flow is, after a packet of n_segs buffers came or left. It is measured in
// its packets or in its buffers, whichever have reached more of their limit. A port alone takes
// half of the sender's buffers.
static struct fill
fill_of(const struct worker *w, const struct schedule *q, uint16_t flow, uint16_t n_segs)
{
	const struct sched_flow *f = &q->s.flow[flow];
	uint32_t room = w->max_waiting / 2;

	if ((uint64_t)q->n_buffers[flow] * f->limit > (uint64_t)f->n_queued * room)
		return (struct fill){q->n_buffers[flow], room, n_segs};
	return (struct fill){f->n_queued, f->limit, 1};
}

static void
enqueue(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m, uint64_t now_ns)
{
	struct schedule *q = view_port(view, out)->schedule;
	struct sched_item *item = pkt_item(m);
	uint16_t flow = m->port, n_segs = m->nb_segs; // of one that is dropped, too

	item->len = m->pkt_len;
	if (unlikely(w->n_waiting[flow] + q->n_buffers[flow] >= w->max_waiting) ||
		sched_enqueue(&q->s, flow, item, now_ns)) {
		pkt_drop(&w->port[out].c, m, DROP_QUEUE_FULL);
	} else {
		counters_add(&w->port[out].c.queued_in, 1);
		count_waiting(w, view, out, m, 1);
	}
	if (view_port(view, out)->may_hold)
		backpressure_queued(w, view, out, &q->back, flow, fill_of(w, q, flow, n_segs));
}

// The scheduler's input about staged packets.
struct staged {
	uint32_t len[WORKER_STAGE];
	uint64_t arrival_ns[WORKER_STAGE];
	uint16_t flow[WORKER_STAGE], n;
};

static void
read_staged(const struct worker_tx *tx, struct staged *ret_staged)
{
	for (uint16_t i = 0; i < tx->n; i++) {
		ret_staged->len[i] = tx->pkts[i]->pkt_len;
		ret_staged->arrival_ns[i] = pkt_item(tx->pkts[i])->arrival_ns;
		ret_staged->flow[i] = tx->pkts[i]->port;
	}
	ret_staged->n = tx->n;
}

// How many packets from `first` on have its sender, and its arrival.
static uint16_t
run_of(const struct staged *b, uint16_t first, uint64_t *ret_bytes)
{
	uint16_t i = first;

	*ret_bytes = 0;
	for (; i < b->n && b->flow[i] == b->flow[first] && b->arrival_ns[i] == b->arrival_ns[first]; i++)
		*ret_bytes += b->len[i];
	return (uint16_t)(i - first);
}

// True: no packet waits, and the scheduler would return all staged packets at once. On a link with
// a rate the scheduler decides the order of several senders.
static bool
may_pass(const struct schedule *q, const struct staged *b, uint64_t now_ns)
{
	uint64_t bytes;

	if (q->n_pending || q->s.n_queued)
		return false;
	for (uint16_t i = 0, run; i < b->n; i = (uint16_t)(i + run)) {
		run = run_of(b, i, &bytes);
		if ((q->s.link.rate && run < b->n) ||
			!sched_may_pass(&q->s, b->flow[i], run, bytes, b->arrival_ns[i], now_ns))
			return false;
	}
	return true;
}

// All that is staged leaves without having been queued: one account for each run of one sender.
static void
pass(struct worker *w, const struct view *view, uint16_t out, const struct staged *b)
{
	struct schedule *q = view_port(view, out)->schedule;
	struct rte_mbuf **pkts = w->port[out].tx.pkts;
	uint16_t n;
	uint64_t bytes;

	for (uint16_t i = 0, run; i < b->n; i = (uint16_t)(i + run)) {
		run = run_of(b, i, &bytes);
		sched_pass(&q->s, b->flow[i], &b->len[i], run, b->arrival_ns[i], w->now_ns);
	}
	if (unlikely(view_port(view, out)->capture))
		capture_burst(w, view_port(view, out)->capture, pkts, b->n, true);
	n = transmit(w, view, out, pkts, b->n);
	if (unlikely(n < b->n)) {
		q->taken_ns = w->now_ns;
		q->n_pending = (uint16_t)(b->n - n);
		memcpy(q->pending, pkts + n, q->n_pending * sizeof(q->pending[0]));
		counters_add(&w->port[out].c.queued_in, q->n_pending);
	}
}

// No receiver is there: waiting packets would be old when one comes.
static void
drop_all(struct worker *w, const struct view *view, uint16_t out)
{
	struct schedule *q = view_port(view, out)->schedule;
	struct sched_item *item;
	unsigned n = q->n_pending;

	for (uint16_t i = 0; i < q->n_pending; i++)
		pkt_drop(&w->port[out].c, q->pending[i], DROP_LINK_DOWN);
	q->n_pending = 0;
	for (uint16_t flow = 0; flow < DP_MAX_PORTS; flow++) {
		for (; (item = sched_flush(&q->s, flow)); n++) {
			count_waiting(w, view, out, pkt_of_item(item), -1);
			pkt_drop(&w->port[out].c, pkt_of_item(item), DROP_LINK_DOWN);
		}
	}
	backpressure_release_all(w, view, out, &q->back);
	counters_add(&w->port[out].c.queued_out, n);
}

// The next burst that the scheduler gives, into pending.
static void
take_due(struct worker *w, const struct view *view, uint16_t out)
{
	struct schedule *q = view_port(view, out)->schedule;
	struct sched_item *items[PORT_BURST];
	bool may_hold = view_port(view, out)->may_hold;
	unsigned n;

	pace_tick(w);
	q->taken_ns = w->now_ns;
	n = sched_dequeue(&q->s, items, PORT_BURST, w->now_ns);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkt_of_item(items[i]);

		count_waiting(w, view, out, m, -1);
		pace_work(w, 1, m->pkt_len);
		if (may_hold)
			backpressure_left(w, view, out, &q->back, m->port, fill_of(w, q, m->port, m->nb_segs));
		if (items[i]->verdict == SCHED_LATE || items[i]->verdict == SCHED_AQM) {
			counters_add(&w->port[out].c.queued_out, 1);
			pkt_drop(&w->port[out].c, m, items[i]->verdict == SCHED_LATE ? DROP_LATE : DROP_AQM);
		} else {
			q->pending[q->n_pending++] = m;
		}
	}
	if (unlikely(view_port(view, out)->capture))
		capture_burst(w, view_port(view, out)->capture, q->pending, q->n_pending, true);
}

static unsigned
serve(struct worker *w, const struct view *view, uint16_t out)
{
	struct schedule *q = view_port(view, out)->schedule;
	uint64_t next_ns;
	unsigned sum = 0;

	if (unlikely(!atomic_load_explicit(&view_port(view, out)->port->device.is_up, memory_order_relaxed) ||
		    !view_port(view, out)->is_admin_up)) {
		drop_all(w, view, out);
		return 0;
	}
	for (unsigned i = 0; i < SERVE_BURSTS; i++) {
		uint16_t n;

		if (!q->n_pending)
			take_due(w, view, out);
		if (!q->n_pending)
			break;
		n = transmit(w, view, out, q->pending, q->n_pending);
		// From the first refusal on: the device took nothing from an absent worker, either.
		q->refused_ns = n ? 0 : q->refused_ns ? q->refused_ns : w->now_ns;
		backpressure_offered(w, view, out, &q->back, n ? 0 : w->now_ns - q->refused_ns);
		if (likely(n)) {
			q->taken_ns = w->now_ns;
		} else if (w->now_ns - q->taken_ns >= PENDING_MAX_NS) {
			// The one behind it may be taken. The rest of the burst has no time of its
			// own, the next burst has.
			pkt_drop(&w->port[out].c, q->pending[0], DROP_TX_TIMEOUT);
			n = 1;
		}
		q->n_pending = (uint16_t)(q->n_pending - n);
		memmove(q->pending, q->pending + n, q->n_pending * sizeof(q->pending[0]));
		counters_add(&w->port[out].c.queued_out, n);
		sum += n;
		if (q->n_pending)
			break;
	}
	if (unlikely(view_port(view, out)->prewake) && view_port(view, out)->rate && !q->n_pending &&
		sched_next_ns(&q->s, &next_ns, w->now_ns))
		trace_prewake(w, view, out, next_ns);
	return sum;
}

static bool
has_packets(const struct schedule *q)
{
	return q->n_pending || q->s.n_queued;
}

void
schedule_put(struct worker *w, const struct view *view, uint16_t out)
{
	const struct view_port *vp = view_port(view, out);
	struct worker_tx *tx = &w->port[out].tx;
	struct staged staged;

	read_staged(tx, &staged);
	if (may_pass(vp->schedule, &staged, w->now_ns)) {
		pass(w, view, out, &staged);
	} else {
		for (uint16_t i = 0; i < tx->n; i++)
			enqueue(w, view, out, tx->pkts[i], w->now_ns);
		if (vp->rate)
			(void)serve(w, view, out);
	}
	tx->n = 0;
}

unsigned
schedule_serve_all(struct worker *w, const struct view *view)
{
	const struct view_worker *mine = view->worker[w->index];
	unsigned sum = 0;

	for (uint16_t i = 0; i < mine->n_owned; i++) {
		const struct schedule *q = view_port(view, mine->owned[i])->schedule;

		if (q && has_packets(q))
			sum += serve(w, view, mine->owned[i]);
	}
	return sum;
}

static bool
is_same(const struct sched_params *a, const struct sched_params *b)
{
	return a->deadline_ns == b->deadline_ns && a->min_rate == b->min_rate && a->burst == b->burst &&
		a->weight == b->weight && a->limit == b->limit && a->drops_late == b->drops_late;
}

// The number of a port that is gone may be another's by now: its counts are not.
static void
forget_history(struct sched_flow *f)
{
	uint64_t *const counters[] = {&f->stats.guaranteed_pkts, &f->stats.guaranteed_bytes, &f->stats.surplus_pkts,
		&f->stats.surplus_bytes, &f->stats.missed_pkts, &f->stats.broken_pkts, &f->stats.late_pkts,
		&f->stats.worst_late_ns};

	for (unsigned i = 0; i < RTE_DIM(counters); i++)
		__atomic_store_n(counters[i], 0, __ATOMIC_RELAXED);
	if (f->delay)
		hist_init(f->delay);
}

void
schedule_apply(struct worker *w, const struct view *view)
{
	const struct view_worker *mine = view->worker[w->index];

	w->max_waiting = RTE_MAX(w->env->n_mbufs / SENDER_SHARE / w->env->n_workers, (uint32_t)DP_QUEUE_MIN);
	// Ports that went took buffers with them, whose number is known only here.
	for (uint16_t flow = 0; flow < DP_MAX_PORTS; flow++)
		w->n_waiting[flow] = 0;
	for (uint16_t i = 0; i < mine->n_owned; i++) {
		const struct view_port *vp = view_port(view, mine->owned[i]);
		struct schedule *q = vp->schedule;

		if (!q)
			continue;
		sched_set_link(&q->s, vp->rate, LINK_SLACK_NS, 0, w->now_ns);
		for (uint16_t flow = 0; flow < DP_MAX_PORTS; flow++) {
			const struct port_path *port = view_port(view, flow)->port;
			struct sched_params params = view_port(view, flow)->flow;
			bool has_aqm;

			if (params.min_rate)
				params.burst = view_bucket_bytes(view_port(view, flow), vp->uplink);
			w->n_waiting[flow] += q->n_buffers[flow];
			q->s.flow[flow].delay = atomic_load_explicit(&q->delay[flow], memory_order_acquire);
			if (port && port->serial != q->serial[flow]) {
				q->serial[flow] = port->serial;
				forget_history(&q->s.flow[flow]);
				backpressure_forget(&q->back, flow);
			}
			if (!is_same(&q->s.flow[flow].params, &params))
				sched_set_flow(&q->s, flow, &params, w->now_ns);
			has_aqm = !(vp->may_hold && view_port(view, flow)->may_be_held);
			if (q->s.flow[flow].has_aqm != has_aqm)
				sched_set_aqm(&q->s, flow, has_aqm);
		}
		if (!vp->may_hold)
			backpressure_release_all(w, view, mine->owned[i], &q->back);
	}
	w->view_gen = view->gen;
}

bool
schedule_next_ns(const struct worker *w, const struct view *view, uint64_t *ret_ns)
{
	const struct view_worker *mine = view->worker[w->index];
	uint64_t now_ns = clock_now_ns(&w->env->clock), at;
	bool found = false;

	for (uint16_t i = 0; i < mine->n_owned; i++) {
		const struct schedule *q = view_port(view, mine->owned[i])->schedule;

		if (!q || !has_packets(q))
			continue;
		if (q->n_pending || !sched_next_ns(&q->s, &at, now_ns) || !view_port(view, mine->owned[i])->rate)
			at = now_ns + BLOCKED_POLL_NS;
		else
			at = trace_prewake_ns(view, mine->owned[i], at);
		if (!found || at < *ret_ns)
			*ret_ns = at;
		found = true;
	}
	return found;
}
