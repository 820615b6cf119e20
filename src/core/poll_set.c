// See rtvs/poll_set.h. Lists are circular. The first of an interval's list is the next to be looked
// at, and goes to its end then. With n queues in an interval of 2^k looks each look owes n/2^k of
// them: what is owed is kept in parts of 2^k, so that nothing is lost to rounding. When queues
// leave, those that stay are looked at as often as before until 2^k looks are over: else the wait
// of one would grow each time that one behind it leaves.
#include "rtvs/poll_set.h"

#include <assert.h>
#include <stddef.h>

// Before `at`, NULL: as the only one.
static void
link_before(struct poll_list *list, struct poll_queue *at, struct poll_queue *q)
{
	if (at) {
		q->next = at;
		q->prev = at->prev;
		at->prev->next = q;
		at->prev = q;
	} else {
		q->next = q->prev = q;
		list->first = q;
	}
	list->n++;
}

static void
unlink_queue(struct poll_list *list, struct poll_queue *q)
{
	q->prev->next = q->next;
	q->next->prev = q->prev;
	list->n--;
	if (!list->n)
		list->first = NULL;
	else if (list->first == q)
		list->first = q->next;
}

static bool
is_before(const struct poll_queue *a, const struct poll_queue *b)
{
	return a->port < b->port || (a->port == b->port && a->queue < b->queue);
}

// In order, so that the queues of a port stay beside each other.
static void
join_round(struct poll_set *s, struct poll_queue *q)
{
	struct poll_queue *at = s->round.first;

	for (uint32_t i = 0; i < s->round.n && !is_before(q, at); i++)
		at = at->next;
	link_before(&s->round, at, q);
	if (is_before(q, s->round.first))
		s->round.first = q;
}

void
poll_set_init(struct poll_set *s, struct poll_queue *queue, uint64_t now_ns)
{
	*s = (struct poll_set){.queue = queue, .look_ns = now_ns};
}

void
poll_set_add(struct poll_set *s, uint16_t port, uint16_t queue, uint64_t deadline_ns, uint64_t now_ns)
{
	struct poll_queue *q = &s->queue[s->n++];

	*q = (struct poll_queue){.port = port,
		.queue = queue,
		.awake_until_ns = now_ns + POLL_IDLE_NS,
		.max_wait_ns = deadline_ns ? deadline_ns / POLL_DEADLINE_DIV : UINT64_MAX};
	link_before(&s->round, s->round.first, q);
}

struct poll_queue *
poll_set_tired(const struct poll_set *s, uint64_t now_ns)
{
	struct poll_queue *q = s->round.first;

	for (uint32_t i = 0; i < s->round.n; i++, q = q->next)
		if (now_ns >= q->awake_until_ns && q->max_wait_ns >= 2 * POLL_LOOK_NS)
			return q;
	return NULL;
}

void
poll_set_sleep(struct poll_set *s, struct poll_queue *q, bool has_wakeup)
{
	uint64_t wait_ns = has_wakeup ? POLL_LOST_NS : POLL_BLIND_NS;

	assert(!q->is_idle);
	if (q->max_wait_ns < wait_ns)
		wait_ns = q->max_wait_ns;
	unlink_queue(&s->round, q);
	q->is_idle = true;
	q->interval = 0;
	while (2 * POLL_LOOK_NS << (q->interval + 1) <= wait_ns)
		q->interval++;
	link_before(&s->idle[q->interval], s->idle[q->interval].first, q);
	if (s->rate[q->interval] < s->idle[q->interval].n)
		s->rate[q->interval] = s->idle[q->interval].n;
	s->n_idle++;
}

void
poll_set_wake(struct poll_set *s, struct poll_queue *q, uint64_t until_ns)
{
	if (q->awake_until_ns < until_ns)
		q->awake_until_ns = until_ns;
	if (!q->is_idle)
		return;
	unlink_queue(&s->idle[q->interval], q);
	s->n_idle--;
	q->is_idle = false;
	join_round(s, q);
}

void
poll_set_look(struct poll_set *s, uint64_t now_ns)
{
	uint64_t past_ns = now_ns - s->look_ns, n_looks = past_ns / POLL_LOOK_NS, before = s->n_looks;

	s->look_ns = now_ns - past_ns % POLL_LOOK_NS;
	s->n_looks += n_looks;
	for (unsigned i = 0; s->n_idle && i <= POLL_LOOKS_LOG2; i++) {
		uint64_t all = (uint64_t)s->idle[i].n << i;

		if (s->n_looks >> i != before >> i)
			s->rate[i] = s->idle[i].n;
		s->credit[i] += s->rate[i] * (n_looks < 1 << POLL_LOOKS_LOG2 ? n_looks : 1 << POLL_LOOKS_LOG2);
		if (s->credit[i] > all) // each once is enough, however long nobody looked
			s->credit[i] = all;
	}
}

struct poll_queue *
poll_set_next(struct poll_set *s)
{
	for (unsigned i = 0; s->n_idle && i <= POLL_LOOKS_LOG2; i++) {
		struct poll_queue *q = s->idle[i].first;

		if (!q || s->credit[i] < UINT64_C(1) << i)
			continue;
		s->credit[i] -= UINT64_C(1) << i;
		s->idle[i].first = q->next;
		return q;
	}
	return NULL;
}

static uint32_t
count(const struct poll_list *list, bool is_idle)
{
	const struct poll_queue *q = list->first;
	uint32_t n = 0;

	for (; n < list->n && q->is_idle == is_idle && q->next->prev == q; n++)
		q = q->next;
	return q == list->first && n == list->n ? n : UINT32_MAX;
}

bool
poll_set_is_consistent(const struct poll_set *s)
{
	const struct poll_queue *q = s->round.first;
	uint64_t n_idle = 0;

	for (unsigned i = 0; i <= POLL_LOOKS_LOG2; i++)
		n_idle += count(&s->idle[i], true);
	for (uint32_t i = 0; i + 1 < s->round.n; i++, q = q->next)
		if (!is_before(q, q->next))
			return false;
	return n_idle == s->n_idle && count(&s->round, false) + n_idle == s->n;
}
