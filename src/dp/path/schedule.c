// Packets between the stage and the port. A burst passes at once when no packet waits. A port that
// takes no more, or a busy link, makes packets queue. Packets that passed or were dequeued, and
// that the device did not take, wait in `pending`, a stage at most: the scheduler has decided about
// them. A device that takes nothing for PENDING_MAX_NS, and whose guest is not away, loses one
// packet a turn. A sender whose queue is full loses packets at its limit, unless its sender may be
// held back (backpressure.c): a slow receiver never slows another.
#include "schedule.h"

#include "base/pkt.h"
#include "base/sparse.h"
#include "capture.h"
#include "encap.h"
#include "pace.h"
#include "senders.h"
#include "trace.h"
#include "transmit.h"

#include <errno.h>
#include <string.h>

#define SERVE_BURSTS 4 // of one port in a turn
// Of pending packets: Linux's shortest retransmission timeout, after which their sender has sent
// most of them again.
#define PENDING_MAX_NS 200000000
#define AFTER_AWAY_NS 1000000000 // for a guest to take what came while it was away
// A sender has at most 1/8 of all buffers waiting, and at one port no more than the rest of that. A
// flood to slow ports then takes neither the buffers of others nor those of the sender (an uplink)
// for further ports. Choudhury and Hahne (1998). Buffers, not packets: a super-frame takes some
// thirty.
#define SENDER_SHARE 8
#define BLOCKED_POLL_NS 500000 // a receiver that took nothing is asked again
// Packets of a port without a link that are freed in a turn: some microseconds, whatever the number
// of ports.
#define DROP_AT_ONCE 256

struct schedule {
	uint16_t n_pending;
	uint64_t taken_ns; // when the device last took a packet, or the first pending one became so
	// When the device first took nothing, 0: it took the last packet that it was offered.
	uint64_t refused_ns;
	uint64_t away_ns; // when a packet last came while the guest was away, 0: never
	struct rte_mbuf *pending[WORKER_STAGE];
	struct senders senders;
};

#define MEMORY_AT RTE_ALIGN_CEIL(sizeof(struct schedule), SCHED_ALIGN) // of the scheduler, behind

static uint64_t
memory_bytes(void)
{
	return MEMORY_AT + sched_memory_bytes(SENDERS_PLACES);
}

int
schedule_create(struct schedule **ret_schedule, uint64_t now_ns)
{
	struct schedule *q = sparse_alloc(memory_bytes());

	if (!q)
		return -ENOMEM;
	senders_init(&q->senders, (uint8_t *)q + MEMORY_AT, now_ns);
	*ret_schedule = q;
	return 0;
}

void
schedule_destroy(struct schedule *q, struct worker *owner)
{
	struct sched_item *item;

	if (!q)
		return;
	pkt_free_burst(q->pending, q->n_pending);
	for (uint32_t i = 0; (i = senders_next(&q->senders, i)) != SENDERS_PLACES; i++) {
		while ((item = sched_flush(&q->senders.s, i))) {
			struct rte_mbuf *m = pkt_of_item(item);

			atomic_fetch_add_explicit(&owner->waiting[m->port].n_gone, m->nb_segs, memory_order_relaxed);
			pkt_free(m);
		}
	}
	sparse_free(q, memory_bytes());
}

bool
schedule_next_sender(const struct schedule *q, uint32_t *pos, uint64_t now_ns, struct dp_sender *ret_sender)
{
	const struct senders *t = &q->senders;

	while ((*pos = senders_next(t, *pos)) != SENDERS_PLACES) {
		uint32_t place = (*pos)++;
		uint16_t port = place == SENDER_SHARED ? DP_MAX_PORTS : sender_table_port(&t->table, place);

		ret_sender->port = port;
		// A place that has become another's meanwhile is seen when it is read the next
		// time.
		if (senders_read(t, place, now_ns, ret_sender) &&
			(place == SENDER_SHARED || sender_table_port(&t->table, place) == port))
			return true;
	}
	return false;
}

bool
schedule_next_held(const struct schedule *q, uint32_t *pos, uint16_t *ret_sender)
{
	const struct senders *t = &q->senders;

	while ((*pos = sender_table_next(&t->table, *pos)) != SENDER_SHARED) {
		uint32_t place = (*pos)++;

		*ret_sender = sender_table_port(&t->table, place);
		if (t->at[place].held.hold.since_ns)
			return true;
	}
	return false;
}

uint64_t
schedule_held_ns(const struct schedule *q, uint16_t sender)
{
	uint32_t place = sender_table_find(&q->senders.table, sender);

	return place == SENDER_SHARED ? 0 :
					atomic_load_explicit(&q->senders.at[place].held.held_ns, memory_order_relaxed);
}

// m, whose sender has this place, waits here (by: 1), or does no longer (-1).
static void
count_waiting(struct worker *w, const struct view *view, uint16_t out, uint32_t place, struct rte_mbuf *m, int by)
{
	int n_buffers = by * m->nb_segs;

	view_port(view, out)->schedule->senders.at[place].n_buffers += (uint32_t)n_buffers;
	w->waiting[m->port].n += (uint32_t)n_buffers;
	if (view_port(view, out)->uplink)
		encap_queued(view, m, by);
}

// Buffers that wait for the worker's ports.
static uint32_t
n_waiting(const struct worker *w, uint16_t sender)
{
	return w->waiting[sender].n - atomic_load_explicit(&w->waiting[sender].n_gone, memory_order_relaxed);
}

// How full the queue of a sender is, after a packet of n_segs buffers came or left: of its packets
// or, where these have reached more of what they may have, of its buffers, of which a port alone
// takes half of the sender's.
static struct fill
fill_of(const struct worker *w, const struct senders *t, uint32_t place, uint16_t n_segs)
{
	const struct sched_sender *f = &t->s.sender[place];
	uint32_t room = w->max_waiting / 2, n_buffers = t->at[place].n_buffers;

	if ((uint64_t)n_buffers * f->limit > (uint64_t)f->n_queued * room)
		return (struct fill){n_buffers, room, n_segs};
	return (struct fill){f->n_queued, f->limit, 1};
}

static uint32_t
max_waiting(const struct worker *w)
{
	return RTE_MAX(w->env->n_mbufs / SENDER_SHARE / w->env->n_workers, (uint32_t)DP_QUEUE_MIN);
}

static bool
is_away(const struct view *view, uint16_t out)
{
	return atomic_load_explicit(&view_port(view, out)->port->device.is_away, memory_order_relaxed);
}

// Does `limit` count? Only behind a guest that is there: one that is away is not slow, and after it
// what came meanwhile is taken first.
static bool
is_limited(struct schedule *q, const struct view *view, uint16_t out, uint64_t now_ns)
{
	if (unlikely(is_away(view, out)))
		q->away_ns = now_ns;
	return !q->away_ns || now_ns - q->away_ns > AFTER_AWAY_NS;
}

// False: it would be more than its sender may have waiting.
static bool
queue(struct worker *w, const struct view *view, uint16_t out, uint32_t place, struct rte_mbuf *m, uint32_t max)
{
	struct schedule *q = view_port(view, out)->schedule;
	struct senders *t = &q->senders;
	struct sched_item *item = pkt_item(m);

	item->len = m->pkt_len;
	item->user = (uint16_t)place;
	if (unlikely(n_waiting(w, m->port) + t->at[place].n_buffers >= max))
		return false;
	if (unlikely(!is_limited(q, view, out, w->now_ns)))
		sched_enqueue_any(&t->s, place, item, w->now_ns);
	else if (sched_enqueue(&t->s, place, item, w->now_ns))
		return false;
	count_waiting(w, view, out, place, m, 1);
	return true;
}

static void
enqueue(struct worker *w, const struct view *view, uint16_t out, uint32_t place, struct rte_mbuf *m)
{
	struct senders *t = &view_port(view, out)->schedule->senders;
	uint16_t sender = m->port, n_segs; // of one that is dropped, too

	m = pkt_keep(w->pool, m);
	if (unlikely(!m)) {
		counters_add(&w->port[out].c.drops[DROP_NO_BUFFER], 1);
		return;
	}
	n_segs = m->nb_segs;
	if (unlikely(!queue(w, view, out, place, m, w->max_waiting)))
		pkt_drop(&w->port[out].c, m, DROP_QUEUE_FULL);
	else
		counters_add(&w->port[out].c.queued_in, 1);
	// Of those that share a place none can be told to be the one that fills it.
	if (view_port(view, out)->may_hold && place != SENDER_SHARED)
		backpressure_queued(w, view, out, &t->back, &t->at[place].held, sender, fill_of(w, t, place, n_segs));
}

// The scheduler's input about staged packets.
struct staged {
	uint32_t len[WORKER_STAGE];
	uint64_t arrival_ns[WORKER_STAGE];
	uint16_t place[WORKER_STAGE], n; // place: of the sender
};

static void
read_staged(struct worker *w, const struct view *view, uint16_t out, struct staged *ret_staged)
{
	const struct worker_tx *tx = &w->port[out].tx;
	struct senders *t = &view_port(view, out)->schedule->senders;

	for (uint16_t i = 0; i < tx->n; i++) {
		ret_staged->len[i] = tx->pkts[i]->pkt_len;
		ret_staged->arrival_ns[i] = pkt_item(tx->pkts[i])->arrival_ns;
		ret_staged->place[i] = i && tx->pkts[i]->port == tx->pkts[i - 1]->port ?
			ret_staged->place[i - 1] :
			(uint16_t)senders_place(w, view, out, t, tx->pkts[i]->port);
	}
	ret_staged->n = tx->n;
}

// How many packets from `first` on have its sender, and its arrival.
static uint16_t
run_of(const struct staged *b, uint16_t first, uint64_t *ret_bytes)
{
	uint16_t i = first;

	*ret_bytes = 0;
	for (; i < b->n && b->place[i] == b->place[first] && b->arrival_ns[i] == b->arrival_ns[first]; i++)
		*ret_bytes += b->len[i];
	return (uint16_t)(i - first);
}

// True: no packet waits, and the scheduler would return all staged packets at once. On a link with
// a rate the scheduler decides the order of several senders.
static bool
may_pass(const struct schedule *q, const struct staged *b, uint64_t now_ns)
{
	uint64_t bytes;

	if (q->n_pending || q->senders.s.n_queued)
		return false;
	for (uint16_t i = 0, run; i < b->n; i = (uint16_t)(i + run)) {
		run = run_of(b, i, &bytes);
		if ((q->senders.s.link.rate && run < b->n) ||
			!sched_may_pass(&q->senders.s, b->place[i], run, bytes, b->arrival_ns[i], now_ns))
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
		sched_pass(&q->senders.s, b->place[i], &b->len[i], run, b->arrival_ns[i], w->now_ns);
	}
	if (unlikely(view_port(view, out)->capture))
		capture_burst(w, view_port(view, out)->capture, pkts, b->n, true);
	n = transmit(w, view, out, pkts, b->n);
	if (unlikely(n < b->n)) {
		q->taken_ns = w->now_ns;
		q->n_pending = pkt_keep_burst(w->pool, q->pending, pkts + n, (uint16_t)(b->n - n));
		counters_add(&w->port[out].c.queued_in, q->n_pending);
		counters_add(&w->port[out].c.drops[DROP_NO_BUFFER], (uint64_t)(b->n - n - q->n_pending));
	}
}

// No receiver is there: waiting packets would be old when one comes. Some each turn.
static void
drop_all(struct worker *w, const struct view *view, uint16_t out)
{
	struct schedule *q = view_port(view, out)->schedule;
	struct senders *t = &q->senders;
	struct sched_item *item;
	unsigned n = q->n_pending;

	for (uint16_t i = 0; i < q->n_pending; i++)
		pkt_drop(&w->port[out].c, q->pending[i], DROP_LINK_DOWN);
	q->n_pending = 0;
	for (uint32_t i = 0; n < DROP_AT_ONCE && (i = senders_next(t, i)) != SENDERS_PLACES; i++) {
		for (; n < DROP_AT_ONCE && (item = sched_flush(&t->s, i)); n++) {
			count_waiting(w, view, out, i, pkt_of_item(item), -1);
			pkt_drop(&w->port[out].c, pkt_of_item(item), DROP_LINK_DOWN);
		}
	}
	senders_release_all(w, view, out, t);
	counters_add(&w->port[out].c.queued_out, n);
}

// The next burst that the scheduler gives, into pending.
static void
take_due(struct worker *w, const struct view *view, uint16_t out)
{
	struct schedule *q = view_port(view, out)->schedule;
	struct senders *t = &q->senders;
	struct sched_item *items[PORT_BURST];
	bool may_hold = view_port(view, out)->may_hold;
	unsigned n;

	pace_tick(w);
	q->taken_ns = w->now_ns;
	n = sched_dequeue(&q->senders.s, items, PORT_BURST, w->now_ns);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkt_of_item(items[i]);
		uint32_t place = items[i]->user;

		count_waiting(w, view, out, place, m, -1);
		pace_work(w, 1, m->pkt_len);
		if (may_hold && place != SENDER_SHARED)
			backpressure_left(
				w, view, out, &t->back, &t->at[place].held, m->port, fill_of(w, t, place, m->nb_segs));
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
	if (unlikely(q->senders.gen != view->gen))
		senders_set_link(w, view, out, &q->senders);
	for (unsigned i = 0; i < SERVE_BURSTS; i++) {
		uint16_t n;

		if (!q->n_pending)
			take_due(w, view, out);
		if (!q->n_pending)
			break;
		n = transmit(w, view, out, q->pending, q->n_pending);
		// From the first refusal on: the device took nothing from an absent worker, either.
		q->refused_ns = n ? 0 : q->refused_ns ? q->refused_ns : w->now_ns;
		if (unlikely(backpressure_offered(&q->senders.back, n ? 0 : w->now_ns - q->refused_ns)))
			senders_release_all(w, view, out, &q->senders);
		if (likely(n)) {
			q->taken_ns = w->now_ns;
		} else if (w->now_ns - q->taken_ns >= PENDING_MAX_NS && !is_away(view, out)) {
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
	if (unlikely(view_port(view, out)->prewake) && view_port(view, out)->link_rate && !q->n_pending &&
		sched_next_ns(&q->senders.s, &next_ns, w->now_ns))
		trace_prewake(w, view, out, next_ns);
	return sum;
}

static bool
has_packets(const struct schedule *q)
{
	return q->n_pending || q->senders.s.n_queued;
}

void
schedule_put(struct worker *w, const struct view *view, uint16_t out)
{
	const struct view_port *vp = view_port(view, out);
	struct worker_tx *tx = &w->port[out].tx;
	struct staged staged;

	if (unlikely(vp->schedule->senders.gen != view->gen))
		senders_set_link(w, view, out, &vp->schedule->senders);
	read_staged(w, view, out, &staged);
	if (may_pass(vp->schedule, &staged, w->now_ns)) {
		pass(w, view, out, &staged);
	} else {
		for (uint16_t i = 0; i < tx->n; i++)
			enqueue(w, view, out, staged.place[i], tx->pkts[i]);
		if (vp->link_rate)
			(void)serve(w, view, out);
	}
	tx->n = 0;
}

bool
schedule_may_pass(struct worker *w, const struct view *view, uint16_t out, uint16_t sender, uint16_t n, uint64_t bytes,
	uint32_t *ret_place)
{
	struct schedule *q = view_port(view, out)->schedule;

	if (unlikely(q->senders.gen != view->gen))
		senders_set_link(w, view, out, &q->senders);
	*ret_place = senders_place(w, view, out, &q->senders, sender);
	return !q->n_pending && sched_may_pass(&q->senders.s, *ret_place, n, bytes, w->now_ns, w->now_ns);
}

void
schedule_passed(
	struct worker *w, const struct view *view, uint16_t out, uint32_t place, const uint32_t *lens, uint16_t n)
{
	sched_pass(&view_port(view, out)->schedule->senders.s, place, lens, n, w->now_ns, w->now_ns);
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

struct senders *
schedule_senders(struct schedule *q)
{
	return &q->senders;
}

static void
each_of_sender(const struct sched_sender *f, schedule_waiting_fn *fn_cb, void *arg)
{
	for (struct sched_item *item = f->head; item; item = item->next)
		fn_cb(arg, pkt_of_item(item), false);
}

void
schedule_each_waiting(struct schedule *q, schedule_waiting_fn *fn_cb, void *arg)
{
	const struct sched *s = &q->senders.s;

	for (uint16_t i = 0; i < q->n_pending; i++)
		fn_cb(arg, q->pending[i], true);
	for (uint32_t i = s->first_active; i != EDF_NONE; i = s->sender[i].next_active)
		each_of_sender(&s->sender[i], fn_cb, arg);
	for (uint32_t i = 0; (i = senders_next(&q->senders, i)) != SENDERS_PLACES; i++)
		if (!s->sender[i].is_active)
			each_of_sender(&s->sender[i], fn_cb, arg);
}

bool
schedule_restore(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m, bool is_pending)
{
	struct schedule *q = view_port(view, out)->schedule;

	if (is_pending) {
		if (q->n_pending == WORKER_STAGE)
			return false;
		q->taken_ns = q->n_pending ? q->taken_ns : w->now_ns;
		q->pending[q->n_pending++] = m;
		return true;
	}
	return queue(w, view, out, senders_place(w, view, out, &q->senders, m->port), m, max_waiting(w));
}

void
schedule_update(struct worker *w, const struct view *view)
{
	const struct view_worker *mine = view->worker[w->index];
	struct worker_update *u = &w->update;
	uint32_t n = 0;

	if (u->gen != view->gen) {
		// From where it was, and round: changes may come faster than all are brought up to
		// one.
		u->gen = view->gen;
		u->n_left = mine->n_owned + 1u;
		w->max_waiting = max_waiting(w);
	}
	while (mine->n_owned && u->n_left && n < SCHEDULE_UPDATE_AT_ONCE) {
		uint16_t out = mine->owned[u->at % mine->n_owned];
		struct schedule *q = view_port(view, out)->schedule;

		n++;
		if (q && q->senders.gen != view->gen)
			senders_set_link(w, view, out, &q->senders);
		if (q)
			n += senders_update(w, view, out, &q->senders, &u->place, SCHEDULE_UPDATE_AT_ONCE - n);
		if (q && senders_next(&q->senders, u->place) != SENDERS_PLACES)
			break;
		u->place = 0;
		u->at++;
		u->n_left--;
	}
	if (n > w->stats.most_updated)
		__atomic_store_n(&w->stats.most_updated, n, __ATOMIC_RELAXED);
	if (!mine->n_owned || !u->n_left)
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
		if (q->n_pending || !sched_next_ns(&q->senders.s, &at, now_ns) ||
			!view_port(view, mine->owned[i])->link_rate)
			at = now_ns + BLOCKED_POLL_NS;
		else
			at = trace_prewake_ns(view, mine->owned[i], at);
		if (!found || at < *ret_ns)
			*ret_ns = at;
		found = true;
	}
	return found;
}
