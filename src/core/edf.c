// The queue of rtvs/edf.h. Invariants: a queued entry is in the front, in the bucket of its
// deadline, or in the heap. The front is in order, and before all others. A bucket's list is in
// order, and its bit says whether the list has entries. No slot of the heap is before its parent. A
// deadline may go to either place behind the front without a change of order: filling the front
// compares the first of both.
#include "rtvs/edf.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define ARITY 4u
#define IN_BUCKET (UINT32_MAX - 1)
#define IN_FRONT (UINT32_MAX - 2)
#define HALF (EDF_FRONT / 2)
// The way of most entries keeps few registers without these: 1 ns of a packet's 25 in the
// scheduler.
#define OUT_OF_LINE __attribute__((noinline))
#define MIN_BUCKETS 1024u
#define BUCKETS_PER_FLOW 4u

static uint64_t
round_up(uint64_t bytes)
{
	return (bytes + EDF_ALIGN - 1) / EDF_ALIGN * EDF_ALIGN;
}

// A few for each entry: the deadlines of entries with a backlog lie close together. Buckets without
// a deadline take no cache.
static uint32_t
n_buckets_of(uint32_t n_entries)
{
	uint32_t n = MIN_BUCKETS;

	while (n < BUCKETS_PER_FLOW * n_entries && n < EDF_MAX_BUCKETS)
		n *= 2;
	return n;
}

uint64_t
edf_memory_bytes(uint32_t n_entries)
{
	uint64_t n_buckets = n_buckets_of(n_entries);

	return round_up(n_entries * sizeof(struct edf_node)) + round_up(n_entries * sizeof(struct edf_slot)) +
		round_up(n_buckets * sizeof(struct edf_bucket)) + round_up(n_buckets / 8);
}

void
edf_init_bare(struct edf *q, uint32_t n_entries, void *memory)
{
	uint8_t *at = memory;

	assert(n_entries && n_entries <= EDF_MAX && (uintptr_t)memory % EDF_ALIGN == 0);
	*q = (struct edf){.node = memory,
		.n_entries = n_entries,
		.n_buckets = n_buckets_of(n_entries),
		.limit_ns = UINT64_MAX,
		.front[0] = {UINT64_MAX, EDF_NONE}};
	q->n_summaries = (q->n_buckets + 4095) / 4096;
	q->shift = EDF_WINDOW_BITS - (uint32_t)__builtin_ctz(q->n_buckets);
	at += round_up(n_entries * sizeof(struct edf_node));
	q->slot = (struct edf_slot *)(void *)at;
	at += round_up(n_entries * sizeof(struct edf_slot));
	q->bucket = (struct edf_bucket *)(void *)at;
	at += round_up(q->n_buckets * sizeof(struct edf_bucket));
	q->word = (uint64_t *)(void *)at;
	for (uint32_t i = 0; i < q->n_buckets / 64; i++)
		q->word[i] = 0;
}

void
edf_init(struct edf *q, uint32_t n_entries, void *memory)
{
	edf_init_bare(q, n_entries, memory);
	for (uint32_t i = 0; i < n_entries; i++)
		edf_begin_entry(q, i);
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
	q->node[slot->entry].place = at;
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

static inline bool
is_node_before(const struct edf_node *a, const struct edf_node *b)
{
	return a->deadline_ns < b->deadline_ns || (a->deadline_ns == b->deadline_ns && a->seq < b->seq);
}

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

// Called after the first bucket was emptied. Buckets at positions before it come after the end of
// the circle.
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

// Behind all that are not later, by the number of their push among equal deadlines.
static void
bucket_insert(struct edf *q, uint32_t entry, uint64_t number)
{
	uint32_t at = (uint32_t)number & (q->n_buckets - 1);
	struct edf_bucket *b = &q->bucket[at];
	struct edf_node *node = &q->node[entry];
	uint32_t before;

	node->place = IN_BUCKET;
	if (!q->n_in_buckets++ || number < q->first_bucket)
		q->first_bucket = number;
	if (!(q->word[at / 64] >> at % 64 & 1)) {
		q->word[at / 64] |= UINT64_C(1) << at % 64;
		q->summary[at / 4096] |= UINT64_C(1) << at / 64 % 64;
		node->next = node->prev = EDF_NONE;
		b->first = b->last = entry;
		return;
	}
	before = b->last;
	while (before != EDF_NONE && is_node_before(node, &q->node[before]))
		before = q->node[before].prev;
	node->prev = before;
	node->next = before == EDF_NONE ? b->first : q->node[before].next;
	*(before == EDF_NONE ? &b->first : &q->node[before].next) = entry;
	*(node->next == EDF_NONE ? &b->last : &q->node[node->next].prev) = entry;
}

static inline void
clear_bit(struct edf *q, uint32_t at)
{
	q->word[at / 64] &= ~(UINT64_C(1) << at % 64);
	if (!q->word[at / 64])
		q->summary[at / 4096] &= ~(UINT64_C(1) << at / 64 % 64);
}

static void
bucket_remove(struct edf *q, uint32_t entry)
{
	const struct edf_node *node = &q->node[entry];
	uint64_t number = node->deadline_ns >> q->shift;
	uint32_t at = (uint32_t)number & (q->n_buckets - 1);
	struct edf_bucket *b = &q->bucket[at];

	q->n_in_buckets--;
	if (node->next == EDF_NONE && node->prev == EDF_NONE) {
		clear_bit(q, at);
		if (q->n_in_buckets && number == q->first_bucket)
			find_first_bucket(q);
		return;
	}
	*(node->prev == EDF_NONE ? &b->first : &q->node[node->prev].next) = node->next;
	*(node->next == EDF_NONE ? &b->last : &q->node[node->next].prev) = node->prev;
}

// Both: behind the front.

static uint32_t
first_behind(const struct edf *q)
{
	const struct edf_slot *top = &q->slot[0];
	uint32_t entry;

	if (!q->n_in_buckets)
		return q->n_slots ? top->entry : EDF_NONE;
	entry = q->bucket[q->first_bucket & (q->n_buckets - 1)].first;
	return q->n_slots && is_node_before(&q->node[top->entry], &q->node[entry]) ? top->entry : entry;
}

static OUT_OF_LINE void
insert_behind(struct edf *q, uint32_t entry)
{
	struct edf_node *node = &q->node[entry];
	uint64_t number = node->deadline_ns >> q->shift;

	if (!q->n_in_buckets)
		q->base = number > q->n_buckets / 4 ? number - q->n_buckets / 4 : 0;
	if (number >= q->base && number - q->base < q->n_buckets)
		bucket_insert(q, entry, number);
	else
		sift_up(q, q->n_slots++,
			&(struct edf_slot){.deadline_ns = node->deadline_ns, .seq = node->seq, .entry = entry});
}

// The front.

// Moves the entries of the first bucket that leave before the heap's first one to `out`, at most
// `max`.
static uint32_t
take_from_bucket(struct edf *q, struct edf_entry *out, uint32_t max)
{
	uint32_t at = (uint32_t)q->first_bucket & (q->n_buckets - 1), entry = q->bucket[at].first, n = 0;

	while (n < max && entry != EDF_NONE &&
		(!q->n_slots || is_node_before(&q->node[entry], &q->node[q->slot[0].entry]))) {
		struct edf_node *node = &q->node[entry];

		out[n++] = (struct edf_entry){node->deadline_ns, entry};
		node->place = IN_FRONT;
		entry = node->next;
	}
	q->n_in_buckets -= n;
	if (entry == EDF_NONE) {
		clear_bit(q, at);
		if (q->n_in_buckets)
			find_first_bucket(q);
	} else {
		q->bucket[at].first = entry;
		q->node[entry].prev = EDF_NONE;
	}
	return n;
}

// It is empty: the earliest of those behind it move there.
static OUT_OF_LINE void
fill_front(struct edf *q)
{
	struct edf_entry earliest[HALF];
	uint32_t entry, n = 0;

	while ((entry = first_behind(q)) != EDF_NONE && n < HALF) {
		if (q->node[entry].place == IN_BUCKET) {
			n += take_from_bucket(q, &earliest[n], HALF - n);
		} else {
			heap_remove(q, 0);
			q->node[entry].place = IN_FRONT;
			earliest[n++] = (struct edf_entry){q->node[entry].deadline_ns, entry};
		}
	}
	for (uint32_t i = 0; i < n; i++)
		q->front[n - i] = earliest[i];
	q->n_front = n;
	q->limit_ns = entry == EDF_NONE ? UINT64_MAX : q->node[entry].deadline_ns;
}

// It is full: its later half moves behind it, in order.
static OUT_OF_LINE void
spill_front(struct edf *q)
{
	q->limit_ns = q->front[HALF].deadline_ns;
	for (uint32_t i = HALF; i > 0; i--)
		insert_behind(q, q->front[i].entry);
	q->n_front -= HALF;
	memmove(&q->front[1], &q->front[1 + HALF], q->n_front * sizeof(q->front[0]));
}

void
edf_push(struct edf *q, uint32_t entry, uint64_t deadline_ns)
{
	struct edf_node *node = &q->node[entry];
	uint32_t at;

	assert(entry < q->n_entries && !edf_has(q, entry));
	node->deadline_ns = deadline_ns;
	node->seq = q->seq++;
	q->n++;
	if (deadline_ns >= q->limit_ns) {
		insert_behind(q, entry);
		if (!q->n_front)
			fill_front(q);
		return;
	}
	node->place = IN_FRONT;
	// Entry 0 ends the walk: its deadline is not below the limit.
	for (at = ++q->n_front; q->front[at - 1].deadline_ns <= deadline_ns; at--)
		q->front[at] = q->front[at - 1];
	q->front[at] = (struct edf_entry){deadline_ns, entry};
	if (q->n_front == EDF_FRONT)
		spill_front(q);
}

// Stable: an entry's place is the number of entries before it. Entries beyond n are behind all. The
// place differs for each entry, so there is no branch on it: a mispredicted branch costs more than
// all comparisons of an entry.
static inline void
sort_burst(const struct edf_entry *in, uint32_t n, struct edf_entry *out)
{
	uint64_t deadline_ns[EDF_BURST];
	uint32_t place[EDF_BURST] = {0};

	for (uint32_t i = 0; i < EDF_BURST; i++)
		deadline_ns[i] = i < n ? in[i].deadline_ns : UINT64_MAX;
	for (uint32_t later = 1; later < EDF_BURST; later++)
		for (uint32_t i = 0; i < later; i++) {
			uint32_t is_earlier = deadline_ns[later] < deadline_ns[i];

			place[i] += is_earlier;
			place[later] += !is_earlier;
		}
	for (uint32_t i = 0; i < n; i++)
		out[place[i]] = in[i];
}

void
edf_push_burst(struct edf *q, const struct edf_entry *in, uint32_t n)
{
	struct edf_entry sorted[EDF_BURST];
	uint32_t from, to;

	assert(n && n <= EDF_BURST);
	for (uint32_t i = 0; i < n; i++) {
		struct edf_node *node = &q->node[in[i].entry];

		assert(in[i].entry < q->n_entries && !edf_has(q, in[i].entry));
		*node = (struct edf_node){.deadline_ns = in[i].deadline_ns, .seq = q->seq++, .place = IN_FRONT};
	}
	q->n += n;
	sort_burst(in, n, sorted);
	while (n && sorted[n - 1].deadline_ns >= q->limit_ns)
		insert_behind(q, sorted[--n].entry);
	from = q->n_front;
	to = q->n_front += n;
	for (uint32_t i = 0; i < n; to--)
		q->front[to] = q->front[from].deadline_ns <= sorted[i].deadline_ns ? q->front[from--] : sorted[i++];
	if (!q->n_front)
		fill_front(q);
	else if (q->n_front >= EDF_FRONT)
		spill_front(q);
}

static OUT_OF_LINE void
remove_later(struct edf *q, uint32_t entry)
{
	uint32_t at = q->n_front, place = q->node[entry].place;

	if (place == IN_FRONT) {
		while (q->front[at].entry != entry)
			at--;
		q->n_front--;
		memmove(&q->front[at], &q->front[at + 1], (q->n_front + 1 - at) * sizeof(q->front[0]));
	} else if (place == IN_BUCKET) {
		bucket_remove(q, entry);
	} else {
		heap_remove(q, place);
	}
}

void
edf_remove(struct edf *q, uint32_t entry)
{
	assert(entry < q->n_entries && edf_has(q, entry));
	q->n--;
	if (entry != edf_first(q))
		remove_later(q, entry);
	else if (!--q->n_front)
		fill_front(q);
	q->node[entry].place = EDF_NONE;
}

static bool
is_front_consistent(const struct edf *q)
{
	uint32_t behind = first_behind(q);

	if (q->n_front >= EDF_FRONT || q->front[0].entry != EDF_NONE || !q->n_front != !q->n ||
		(behind != EDF_NONE && q->node[behind].deadline_ns < q->limit_ns))
		return false;
	for (uint32_t i = q->n_front; i > 0; i--) {
		const struct edf_node *node = &q->node[q->front[i].entry];
		uint32_t next = i > 1 ? q->front[i - 1].entry : behind;

		if (node->place != IN_FRONT || node->deadline_ns != q->front[i].deadline_ns ||
			(next != EDF_NONE && !is_node_before(node, &q->node[next])))
			return false;
	}
	return true;
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
		for (uint32_t entry = is_used ? q->bucket[at].first : EDF_NONE; entry != EDF_NONE;) {
			const struct edf_node *node = &q->node[entry];
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
			prev = entry;
			entry = node->next;
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

	if (!are_buckets_consistent(q, &n) || n + q->n_slots + q->n_front != q->n || !is_front_consistent(q))
		return false;
	for (uint32_t i = 0; i < q->n_slots; i++)
		if (q->slot[i].entry >= q->n_entries || q->node[q->slot[i].entry].place != i ||
			(i > 0 && is_before(&q->slot[i], &q->slot[(i - 1) / ARITY])))
			return false;
	for (uint32_t i = 0; i < q->n_entries; i++)
		n_queued += edf_has(q, i);
	return n_queued == q->n;
}
