// Who sends to a scheduled port. Parameters of senders are the view's; after a change a sender gets
// them with its next packet, or when senders_update comes to it, whichever is sooner. So no change
// costs a worker more than a few senders at a time. Invariant: places below n_begun, and the shared
// one once it is used, are senders of the scheduler; one that is given up has no packets.
#include "senders.h"

#include <rte_common.h>

// Time that a late worker may make up for, and so what a port's queue may hold beyond its rate.
// Hosts without isolated cores take a worker's core for about as long.
#define LINK_SLACK_NS 1000000
// Looked at for a place to be given up: more would cost a burst more than its packets do.
#define HAND_STEPS 16

void
senders_init(struct senders *t, void *memory, uint64_t now_ns)
{
	sched_init_bare(&t->s, SENDERS_PLACES, memory, now_ns);
}

uint32_t
senders_next(const struct senders *t, uint32_t from)
{
	uint32_t place = from < SENDER_MAX ? sender_table_next(&t->table, from) : from;

	return place == SENDER_SHARED && !atomic_load_explicit(&t->is_shared, memory_order_acquire) ? SENDERS_PLACES :
												      place;
}

static bool
has_guarantee(const struct sched_params *params)
{
	return params->deadline_ns || params->min_rate;
}

static void
add(uint64_t *sum, uint64_t n)
{
	__atomic_store_n(sum, *sum + n, __ATOMIC_RELAXED);
}

// What the shared place says is then of all that have no place of their own, now or before.
static void
add_history(struct sched_sender *to, const struct sched_sender *from)
{
	add(&to->stats.surplus_pkts, from->stats.surplus_pkts);
	add(&to->stats.surplus_bytes, from->stats.surplus_bytes);
}

// The place, or the port's number, is another's from now on.
static void
forget_history(struct senders *t, uint32_t place)
{
	struct sched_sender *f = &t->s.sender[place];
	uint64_t *const counters[] = {&f->stats.guaranteed_pkts, &f->stats.guaranteed_bytes, &f->stats.surplus_pkts,
		&f->stats.surplus_bytes, &f->stats.missed_pkts, &f->stats.broken_pkts, &f->stats.late_pkts,
		&f->stats.worst_late_ns};

	for (unsigned i = 0; i < RTE_DIM(counters); i++)
		__atomic_store_n(counters[i], 0, __ATOMIC_RELAXED);
	if (f->delay)
		hist_init(&t->delay[place]);
	f->delay = NULL;
	backpressure_forget(&t->back, &t->at[place].held);
	t->at[place].gen = 0;
}

static bool
is_empty(const struct senders *t, uint32_t place)
{
	return !t->s.sender[place].n_queued && !t->at[place].held.hold.since_ns;
}

// One without a guarantee and without packets gives up its place.
static bool
free_place(struct senders *t)
{
	for (unsigned i = 0; i < HAND_STEPS; i++) {
		uint32_t place = t->hand++ % SENDER_MAX;

		if (t->at[place].has_guarantee || !is_empty(t, place))
			continue;
		add_history(&t->s.sender[SENDER_SHARED], &t->s.sender[place]);
		sender_table_remove(&t->table, place);
		return true;
	}
	return false;
}

static void
begin_shared(struct senders *t)
{
	if (t->is_shared)
		return;
	sched_begin_sender(&t->s, SENDER_SHARED);
	atomic_store_explicit(&t->is_shared, true, memory_order_release);
}

static uint32_t
take_place(struct senders *t, const struct view_port *from, uint16_t port)
{
	uint32_t place;

	if (t->table.n == SENDER_MAX) {
		begin_shared(t);
		if (!has_guarantee(&from->sender) || !free_place(t))
			return SENDER_SHARED;
	}
	// The lowest free one: at most n_begun.
	if (t->table.n == t->n_begun)
		sched_begin_sender(&t->s, t->n_begun++);
	place = sender_table_add(&t->table, port);
	forget_history(t, place);
	return place;
}

static bool
is_same(const struct sched_params *a, const struct sched_params *b)
{
	return a->deadline_ns == b->deadline_ns && a->min_rate == b->min_rate && a->burst == b->burst &&
		a->weight == b->weight && a->limit == b->limit && a->drops_late == b->drops_late;
}

static void
set_params(struct worker *w, struct senders *t, uint32_t place, const struct sched_params *params, bool has_aqm)
{
	struct sched_sender *f = &t->s.sender[place];

	if (!is_same(&f->params, params))
		sched_set_sender(&t->s, place, params, w->now_ns);
	if (f->has_aqm != has_aqm)
		sched_set_aqm(&t->s, place, has_aqm);
}

static void
update(struct worker *w, const struct view *view, uint16_t out, struct senders *t, uint32_t place)
{
	const struct view_port *vp = view_port(view, out), *from;
	struct sender *sender = &t->at[place];
	struct sched_params params = {.weight = 1, .limit = SENDERS_SHARED_LIMIT};

	if (place == SENDER_SHARED) {
		sender->gen = view->gen;
		set_params(w, t, place, &params, true);
		return;
	}
	from = view_port(view, sender_table_port(&t->table, place));
	params = from->sender;
	sender->answer = view_answer(from);
	if (port_answer(sender->answer).deadline_ns)
		params.deadline_ns = port_answer(sender->answer).deadline_ns;
	if (params.min_rate)
		params.burst = view_bucket_bytes(from, vp->uplink);
	// The number of a port that is gone may be another's by now.
	if (from->port && from->port->serial != sender->serial) {
		sender->serial = from->port->serial;
		forget_history(t, place);
	}
	sender->gen = view->gen;
	sender->has_guarantee = has_guarantee(&params);
	if (sender->has_guarantee)
		t->s.sender[place].delay = &t->delay[place];
	set_params(w, t, place, &params, !(vp->may_hold && from->may_be_held));
}

uint32_t
senders_admit(struct worker *w, const struct view *view, uint16_t out, struct senders *t, uint16_t port, uint32_t place)
{
	if (place == SENDER_SHARED)
		place = take_place(t, view_port(view, port), port);
	if (t->at[place].gen != view->gen || t->at[place].answer != view_answer(view_port(view, port)))
		update(w, view, out, t, place);
	return place;
}

void
senders_share(struct worker *w, const struct view *view, uint16_t out, struct senders *t)
{
	begin_shared(t);
	update(w, view, out, t, SENDER_SHARED);
}

void
senders_set_link(struct worker *w, const struct view *view, uint16_t out, struct senders *t)
{
	const struct view_port *vp = view_port(view, out);

	t->gen = view->gen;
	sched_set_link(&t->s, vp->link_rate, LINK_SLACK_NS, 0, w->now_ns);
	if (!vp->may_hold)
		senders_release_all(w, view, out, t);
}

uint32_t
senders_update(
	struct worker *w, const struct view *view, uint16_t out, struct senders *t, uint32_t *place, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && (*place = senders_next(t, *place)) != SENDERS_PLACES) {
		uint16_t port = *place == SENDER_SHARED ? 0 : sender_table_port(&t->table, *place);

		if (*place != SENDER_SHARED && !view_port(view, port)->port && is_empty(t, *place))
			sender_table_remove(&t->table, *place);
		else if (t->at[*place].gen != view->gen)
			update(w, view, out, t, *place);
		++*place;
		n++;
	}
	return n;
}

void
senders_release_all(struct worker *w, const struct view *view, uint16_t out, struct senders *t)
{
	for (uint32_t i = 0; t->back.n_holds && (i = sender_table_next(&t->table, i)) != SENDER_SHARED; i++)
		backpressure_end(w, view, out, &t->back, &t->at[i].held, sender_table_port(&t->table, i));
}

static uint64_t
load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

bool
senders_read(const struct senders *t, uint32_t place, uint64_t now_ns, struct dp_sender *ret_sender)
{
	const struct sched_sender *f = &t->s.sender[place];

	ret_sender->n_queued = __atomic_load_n(&f->n_queued, __ATOMIC_RELAXED);
	ret_sender->tokens_bytes = sched_tokens(&t->s, place, now_ns);
	ret_sender->guaranteed_pkts = load(&f->stats.guaranteed_pkts);
	ret_sender->guaranteed_bytes = load(&f->stats.guaranteed_bytes);
	ret_sender->surplus_pkts = load(&f->stats.surplus_pkts);
	ret_sender->surplus_bytes = load(&f->stats.surplus_bytes);
	ret_sender->missed_pkts = load(&f->stats.missed_pkts);
	ret_sender->broken_pkts = load(&f->stats.broken_pkts);
	ret_sender->late_pkts = load(&f->stats.late_pkts);
	ret_sender->worst_late_ns = load(&f->stats.worst_late_ns);
	hist_init(&ret_sender->delay);
	if (load(&t->delay[place].count))
		hist_merge(&ret_sender->delay, &t->delay[place]);
	return ret_sender->n_queued || ret_sender->guaranteed_pkts || ret_sender->surplus_pkts || ret_sender->late_pkts;
}
