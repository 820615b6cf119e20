// The queue in use; heaps of two and four children, without order among equals and without removal
// from the middle; a tournament tree over all flows; and the plain bucket queue of Eiffel (Saeed et
// al., NSDI 2019). That one is a circle of buckets 1 us wide with two levels of bitmaps, first in
// first out inside a bucket, so exact to 1 us only.
#include "queues.h"

#include "rtvs/edf.h"

#include <stdlib.h>
#include <string.h>

static struct edf edf;
static void *edf_memory;

static void
edf_begin(uint32_t max_flows)
{
	free(edf_memory);
	edf_memory = aligned_alloc(EDF_ALIGN, edf_memory_bytes(max_flows));
	edf_init(&edf, max_flows, edf_memory);
}

static void
edf_add(uint32_t flow, uint64_t deadline_ns)
{
	edf_push(&edf, flow, deadline_ns);
}

static uint32_t
edf_take(uint64_t *ret_deadline_ns)
{
	uint32_t flow = edf_first(&edf);

	*ret_deadline_ns = edf_first_ns(&edf);
	edf_remove(&edf, flow);
	return flow;
}

struct entry {
	uint64_t deadline_ns;
	uint32_t flow;
};

static struct entry *heap;
static uint32_t n_heap;

static void
heap_init(uint32_t max_flows)
{
	free(heap ? heap - 3 : NULL);
	heap = (struct entry *)aligned_alloc(64, (max_flows + 4) * sizeof(*heap)) +
		3; // children of the root share a line
	n_heap = 0;
}

static inline void
heap_push(uint32_t flow, uint64_t deadline_ns, uint32_t arity)
{
	uint32_t at = n_heap++;

	for (; at && heap[(at - 1) / arity].deadline_ns > deadline_ns; at = (at - 1) / arity)
		heap[at] = heap[(at - 1) / arity];
	heap[at] = (struct entry){deadline_ns, flow};
}

static inline uint32_t
heap_pop(uint64_t *ret_deadline_ns, uint32_t arity)
{
	struct entry first = heap[0], last = heap[--n_heap];
	uint32_t at = 0, child, best;

	while ((child = at * arity + 1) < n_heap) {
		best = child;
		for (uint32_t k = 1; k < arity && child + k < n_heap; k++)
			best = heap[child + k].deadline_ns < heap[best].deadline_ns ? child + k : best;
		if (heap[best].deadline_ns >= last.deadline_ns)
			break;
		heap[at] = heap[best];
		at = best;
	}
	heap[at] = last;
	*ret_deadline_ns = first.deadline_ns;
	return first.flow;
}

static void
heap2_push(uint32_t flow, uint64_t deadline_ns)
{
	heap_push(flow, deadline_ns, 2);
}

static uint32_t
heap2_pop(uint64_t *ret_deadline_ns)
{
	return heap_pop(ret_deadline_ns, 2);
}

static void
heap4_push(uint32_t flow, uint64_t deadline_ns)
{
	heap_push(flow, deadline_ns, 4);
}

static uint32_t
heap4_pop(uint64_t *ret_deadline_ns)
{
	return heap_pop(ret_deadline_ns, 4);
}

// Leaves are flows, UINT64_MAX: not queued; a node holds the smaller of its two children, and which
// it is.
static struct entry *tree;
static uint32_t n_leaves;

static void
tree_init(uint32_t max_flows)
{
	for (n_leaves = 1; n_leaves < max_flows;)
		n_leaves *= 2;
	free(tree);
	tree = malloc(2 * n_leaves * sizeof(*tree));
	for (uint32_t i = 0; i < 2 * n_leaves; i++)
		tree[i] = (struct entry){UINT64_MAX, 0};
}

static void
tree_set(uint32_t flow, uint64_t deadline_ns)
{
	uint32_t at = n_leaves + flow;

	tree[at] = (struct entry){deadline_ns, flow};
	for (at /= 2; at; at /= 2)
		tree[at] = tree[2 * at + (tree[2 * at + 1].deadline_ns < tree[2 * at].deadline_ns)];
}

static uint32_t
tree_pop(uint64_t *ret_deadline_ns)
{
	struct entry first = tree[1];

	tree_set(first.flow, UINT64_MAX);
	*ret_deadline_ns = first.deadline_ns;
	return first.flow;
}

#define N_BUCKETS 16384u // of 1,024 ns: 16.8 ms ahead
#define NO_FLOW UINT32_MAX

static struct {
	uint64_t summary[N_BUCKETS / 64 / 64], word[N_BUCKETS / 64];
	uint32_t first[N_BUCKETS], last[N_BUCKETS];
	uint32_t *next;
	uint64_t *deadline_ns;
	uint64_t now; // bucket number of the last pop, not modulo
} ring;

static void
ring_init(uint32_t max_flows)
{
	free(ring.next);
	free(ring.deadline_ns);
	memset(&ring, 0, sizeof(ring));
	ring.next = malloc(max_flows * sizeof(*ring.next));
	ring.deadline_ns = malloc(max_flows * sizeof(*ring.deadline_ns));
}

static void
ring_push(uint32_t flow, uint64_t deadline_ns)
{
	uint64_t number = deadline_ns >> 10;
	uint32_t b;

	if (number >= ring.now + N_BUCKETS)
		number = ring.now + N_BUCKETS - 1;
	b = (uint32_t)(number % N_BUCKETS);
	ring.next[flow] = NO_FLOW;
	ring.deadline_ns[flow] = deadline_ns;
	if (ring.word[b / 64] >> b % 64 & 1)
		ring.next[ring.last[b]] = flow;
	else
		ring.first[b] = flow;
	ring.last[b] = flow;
	ring.word[b / 64] |= UINT64_C(1) << b % 64;
	ring.summary[b / 4096] |= UINT64_C(1) << b / 64 % 64;
}

// The first bucket in use from `from` on, or N_BUCKETS.
static uint32_t
ring_find(uint32_t from)
{
	uint64_t bits = ring.word[from / 64] >> from % 64;
	uint32_t w = from / 64 + 1;

	if (bits)
		return from + (uint32_t)__builtin_ctzll(bits);
	for (uint32_t s = w / 64; s < N_BUCKETS / 4096; s++, w = s * 64) {
		bits = w % 64 ? ring.summary[s] >> w % 64 << w % 64 : ring.summary[s];
		if (bits) {
			w = s * 64 + (uint32_t)__builtin_ctzll(bits);
			return w * 64 + (uint32_t)__builtin_ctzll(ring.word[w]);
		}
	}
	return N_BUCKETS;
}

static uint32_t
ring_pop(uint64_t *ret_deadline_ns)
{
	uint32_t from = (uint32_t)(ring.now % N_BUCKETS), b = ring_find(from), flow;

	if (b == N_BUCKETS)
		b = ring_find(0);
	flow = ring.first[b];
	ring.now += (b - from) % N_BUCKETS;
	if (ring.next[flow] != NO_FLOW) {
		ring.first[b] = ring.next[flow];
	} else {
		ring.word[b / 64] &= ~(UINT64_C(1) << b % 64);
		if (!ring.word[b / 64])
			ring.summary[b / 4096] &= ~(UINT64_C(1) << b / 64 % 64);
	}
	*ret_deadline_ns = ring.deadline_ns[flow];
	return flow;
}

const struct queue_ops queue_ops[] = {
	{"edf.c", edf_begin, edf_add, edf_take},
	{"binary heap", heap_init, heap2_push, heap2_pop},
	{"4-ary heap", heap_init, heap4_push, heap4_pop},
	{"tournament tree", tree_init, tree_set, tree_pop},
	{"buckets of 1 us", ring_init, ring_push, ring_pop},
	{0},
};
