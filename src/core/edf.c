// The queue of rtvs/edf.h. Invariants: a queued flow is in the bucket of its deadline or in the heap; a bucket's list is in
// order, its bit says whether it has one; no slot of the heap is before its parent; first is the earliest of both.
// Which of the two places a deadline goes to changes no order: the first of both are compared.
#include "rtvs/edf.h"

#include <assert.h>
#include <stddef.h>

#define ARITY 4u
#define IN_BUCKET (UINT32_MAX - 1)
#define MIN_BUCKETS 1024u

static uint64_t
round_up(uint64_t bytes)
{
	return (bytes + EDF_ALIGN - 1) / EDF_ALIGN * EDF_ALIGN;
}

// About one a flow: more would only take cache.
static uint32_t
n_buckets_of(uint32_t n_flows)
{
	uint32_t n = MIN_BUCKETS;

	while (n < n_flows && n < EDF_MAX_BUCKETS)
		n *= 2;
	return n;
}

uint64_t
edf_memory_bytes(uint32_t n_flows)
{
	uint64_t n_buckets = n_buckets_of(n_flows);

	return round_up(n_flows * sizeof(struct edf_node)) + round_up(n_flows * sizeof(struct edf_slot)) +
		round_up(n_buckets * sizeof(struct edf_bucket)) + round_up(n_buckets / 8);
}

void
edf_init(struct edf *q, uint32_t n_flows, void *memory)
{
	uint8_t *at = memory;

	assert(n_flows && n_flows <= EDF_MAX_FLOWS && (uintptr_t)memory % EDF_ALIGN == 0);
	*q = (struct edf){.node = memory,
		.n_flows = n_flows,
		.n_buckets = n_buckets_of(n_flows),
		.first = EDF_NONE,
		.first_ns = UINT64_MAX};
	q->n_summaries = (q->n_buckets + 4095) / 4096;
	q->shift = EDF_WINDOW_BITS - (uint32_t)__builtin_ctz(q->n_buckets);
	at += round_up(n_flows * sizeof(struct edf_node));
	q->slot = (struct edf_slot *)(void *)at;
	at += round_up(n_flows * sizeof(struct edf_slot));
	q->bucket = (struct edf_bucket *)(void *)at;
	at += round_up(q->n_buckets * sizeof(struct edf_bucket));
	q->word = (uint64_t *)(void *)at;
	for (uint32_t i = 0; i < n_flows; i++)
		q->node[i] = (struct edf_node){.place = EDF_NONE};
	for (uint32_t i = 0; i < q->n_buckets / 64; i++)
		q->word[i] = 0;
}

// Heap.

static inline bool
is_before(const struct edf_slot *a, const struct edf_slot *b)
{
	return a->deadline_ns < b->deadline_ns || (a->deadline_ns == b->deadline_ns && a->seq < b->seq);
}

static inline void
put(struct edf *q, uint32_t at, const struct edf_slot *slot)
{
	q->slot[at] = *slot;
	q->node[slot->flow].place = at;
}

static void
sift_up(struct edf *q, uint32_t at, const struct edf_slot *slot)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / ARITY;

		if (!is_before(slot, &q->slot[parent]))
			break;
		put(q, at, &q->slot[parent]);
		at = parent;
	}
	put(q, at, slot);
}

static void
sift_down(struct edf *q, uint32_t at, const struct edf_slot *slot)
{
	for (;;) {
		uint32_t child = at * ARITY + 1, best = child, end = child + ARITY;

		if (child >= q->n_slots)
			break;
		if (end > q->n_slots)
			end = q->n_slots;
		while (++child < end)
			if (is_before(&q->slot[child], &q->slot[best]))
				best = child;
		if (!is_before(&q->slot[best], slot))
			break;
		put(q, at, &q->slot[best]);
		at = best;
	}
	put(q, at, slot);
}

static void
heap_remove(struct edf *q, uint32_t at)
{
	struct edf_slot last = q->slot[--q->n_slots];

	if (at == q->n_slots)
		return;
	if (at > 0 && is_before(&last, &q->slot[(at - 1) / ARITY]))
		sift_up(q, at, &last);
	else
		sift_down(q, at, &last);
}

// Buckets.

// The first word in use of those from w on; n_buckets / 64: none.
static inline uint32_t
find_word(const struct edf *q, uint32_t w)
{
	for (uint32_t i = w / 64; i < q->n_summaries; i++, w = i * 64) {
		uint64_t bits = q->summary[i] >> w % 64;

		if (bits)
			return w + (uint32_t)__builtin_ctzll(bits);
	}
	return q->n_buckets / 64;
}

// The first bucket in use of those at positions from to n_buckets - 1; n_buckets: none.
static inline uint32_t
find_from(const struct edf *q, uint32_t from)
{
	uint32_t w = from / 64;
	uint64_t bits = q->word[w] >> from % 64;

	if (bits)
		return from + (uint32_t)__builtin_ctzll(bits);
	w = find_word(q, w + 1);
	return w == q->n_buckets / 64 ? q->n_buckets : w * 64 + (uint32_t)__builtin_ctzll(q->word[w]);
}

// After the first bucket was emptied. Those at positions before it come after the end of the circle.
static void
find_first_bucket(struct edf *q)
{
	uint32_t mask = q->n_buckets - 1, from = (uint32_t)q->first_bucket & mask, at = find_from(q, from);

	if (at == q->n_buckets)
		at = find_from(q, 0);
	q->first_bucket += (at - from) & mask;
	// Deadlines before the first stay possible for a quarter of the window.
	if (q->first_bucket > q->base + q->n_buckets / 4)
		q->base = q->first_bucket - q->n_buckets / 4;
}

// Behind all that are not later: equal deadlines keep their order.
static void
bucket_insert(struct edf *q, uint32_t flow, uint64_t number)
{
	uint32_t at = (uint32_t)number & (q->n_buckets - 1);
	struct edf_bucket *b = &q->bucket[at];
	struct edf_node *node = &q->node[flow];
	uint32_t before;

	node->place = IN_BUCKET;
	if (!q->n_in_buckets++ || number < q->first_bucket)
		q->first_bucket = number;
	if (!(q->word[at / 64] >> at % 64 & 1)) {
		q->word[at / 64] |= UINT64_C(1) << at % 64;
		q->summary[at / 4096] |= UINT64_C(1) << at / 64 % 64;
		node->next = node->prev = EDF_NONE;
		b->first = b->last = flow;
		return;
	}
	before = b->last;
	while (before != EDF_NONE && q->node[before].deadline_ns > node->deadline_ns)
		before = q->node[before].prev;
	node->prev = before;
	node->next = before == EDF_NONE ? b->first : q->node[before].next;
	*(before == EDF_NONE ? &b->first : &q->node[before].next) = flow;
	*(node->next == EDF_NONE ? &b->last : &q->node[node->next].prev) = flow;
}

static void
bucket_remove(struct edf *q, uint32_t flow)
{
	const struct edf_node *node = &q->node[flow];
	uint64_t number = node->deadline_ns >> q->shift;
	uint32_t at = (uint32_t)number & (q->n_buckets - 1);
	struct edf_bucket *b = &q->bucket[at];

	q->n_in_buckets--;
	if (node->next == EDF_NONE && node->prev == EDF_NONE) {
		q->word[at / 64] &= ~(UINT64_C(1) << at % 64);
		if (!q->word[at / 64])
			q->summary[at / 4096] &= ~(UINT64_C(1) << at / 64 % 64);
		if (q->n_in_buckets && number == q->first_bucket)
			find_first_bucket(q);
		return;
	}
	*(node->prev == EDF_NONE ? &b->first : &q->node[node->prev].next) = node->next;
	*(node->next == EDF_NONE ? &b->last : &q->node[node->next].prev) = node->prev;
}

// Both.

static void
find_first(struct edf *q)
{
	const struct edf_slot *top = &q->slot[0];
	const struct edf_node *node;
	uint32_t flow = EDF_NONE;

	if (q->n_in_buckets) {
		flow = q->bucket[q->first_bucket & (q->n_buckets - 1)].first;
		node = &q->node[flow];
		if (q->n_slots &&
			(top->deadline_ns < node->deadline_ns ||
				(top->deadline_ns == node->deadline_ns && top->seq < node->seq)))
			flow = top->flow;
	} else if (q->n_slots) {
		flow = top->flow;
	}
	q->first = flow;
	q->first_ns = flow == EDF_NONE ? UINT64_MAX : q->node[flow].deadline_ns;
}

void
edf_push(struct edf *q, uint32_t flow, uint64_t deadline_ns)
{
	struct edf_node *node = &q->node[flow];
	uint64_t number = deadline_ns >> q->shift;

	assert(flow < q->n_flows && !edf_has(q, flow));
	node->deadline_ns = deadline_ns;
	node->seq = q->seq++;
	if (!q->n_in_buckets)
		q->base = number > q->n_buckets / 4 ? number - q->n_buckets / 4 : 0;
	if (number >= q->base && number - q->base < q->n_buckets)
		bucket_insert(q, flow, number);
	else
		sift_up(q, q->n_slots++,
			&(struct edf_slot){.deadline_ns = deadline_ns, .seq = node->seq, .flow = flow});
	q->n++;
	if (q->first == EDF_NONE || deadline_ns < q->first_ns) {
		q->first = flow;
		q->first_ns = deadline_ns;
	}
}

void
edf_remove(struct edf *q, uint32_t flow)
{
	struct edf_node *node = &q->node[flow];

	assert(flow < q->n_flows && edf_has(q, flow));
	if (node->place == IN_BUCKET)
		bucket_remove(q, flow);
	else
		heap_remove(q, node->place);
	node->place = EDF_NONE;
	q->n--;
	if (flow == q->first)
		find_first(q);
}

static bool
are_buckets_consistent(const struct edf *q, uint32_t *ret_n)
{
	uint64_t lowest = UINT64_MAX;
	uint32_t n = 0;

	for (uint32_t at = 0; at < q->n_buckets; at++) {
		bool is_used = q->word[at / 64] >> at % 64 & 1;
		uint32_t prev = EDF_NONE;

		if (is_used && !(q->summary[at / 4096] >> at / 64 % 64 & 1))
			return false;
		for (uint32_t flow = is_used ? q->bucket[at].first : EDF_NONE; flow != EDF_NONE;) {
			const struct edf_node *node = &q->node[flow];
			uint64_t number = node->deadline_ns >> q->shift;

			if (n++ > q->n || node->place != IN_BUCKET || node->prev != prev ||
				(number & (q->n_buckets - 1)) != at || number < q->base ||
				number - q->base >= q->n_buckets)
				return false;
			if (prev != EDF_NONE &&
				(q->node[prev].deadline_ns > node->deadline_ns ||
					(q->node[prev].deadline_ns == node->deadline_ns &&
						q->node[prev].seq > node->seq)))
				return false;
			lowest = number < lowest ? number : lowest;
			prev = flow;
			flow = node->next;
		}
		if (is_used && q->bucket[at].last != prev)
			return false;
	}
	*ret_n = n;
	return n == q->n_in_buckets && (!n || lowest == q->first_bucket);
}

bool
edf_is_consistent(const struct edf *q)
{
	uint32_t n = 0, n_queued = 0;
	uint64_t first_ns = UINT64_MAX;

	if (!are_buckets_consistent(q, &n) || n + q->n_slots != q->n)
		return false;
	for (uint32_t i = 0; i < q->n_slots; i++)
		if (q->slot[i].flow >= q->n_flows || q->node[q->slot[i].flow].place != i ||
			(i > 0 && is_before(&q->slot[i], &q->slot[(i - 1) / ARITY])))
			return false;
	for (uint32_t i = 0; i < q->n_flows; i++) {
		if (!edf_has(q, i))
			continue;
		n_queued++;
		first_ns = q->node[i].deadline_ns < first_ns ? q->node[i].deadline_ns : first_ns;
	}
	return n_queued == q->n && first_ns == q->first_ns && (q->first == EDF_NONE) == (q->n == 0);
}
