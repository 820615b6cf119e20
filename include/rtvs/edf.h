// Earliest-deadline-first queue of flow numbers. Each flow is queued once at most; equal deadlines leave in order of their
// push. Exact. Deadlines of the next milliseconds lie in a circle of buckets with bitmaps, sorted inside a bucket: push and pop
// are O(1) but for flows that share a bucket in the wrong order. Those beyond, or long past, lie in a 4-ary heap: O(log4 n).
// Not thread-safe, never allocates. Times are ns on one clock of the caller's choice, 0 to 2^64 - 1.
// Sources: find-first-set queues, Saeed et al., "Eiffel: efficient and flexible software packet scheduling" (NSDI 2019); heaps
// of four children, LaMarca and Ladner (1996). docs/decisions.md has what other structures took.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define EDF_MAX_FLOWS 65536u
#define EDF_NONE UINT32_MAX // no flow
#define EDF_ALIGN 64u
#define EDF_MAX_BUCKETS 16384u // two levels of bitmaps
#define EDF_WINDOW_BITS 24 // buckets cover 2^24 ns, 16.8 ms, a quarter of it before the first flow

struct edf_node {
	uint64_t deadline_ns;
	uint64_t seq; // number of the push
	uint32_t next, prev; // in the bucket
	uint32_t place; // in the heap; EDF_NONE: not queued; EDF_IN_BUCKET
};

struct edf_slot {
	uint64_t deadline_ns;
	uint64_t seq;
	uint32_t flow;
};

struct edf_bucket {
	uint32_t first, last; // flows; undefined when its bit is 0
};

struct edf {
	struct edf_node *node; // of each flow
	uint32_t n_flows, n;
	uint64_t seq; // of the next push
	uint32_t first; // EDF_NONE: empty
	uint64_t first_ns;

	// Buckets are numbered deadline >> shift; number b lies at b modulo n_buckets, for b from base to base + n_buckets - 1.
	struct edf_bucket *bucket;
	uint64_t *word; // a bit per bucket
	uint64_t summary[EDF_MAX_BUCKETS / 64 / 64]; // a bit per word
	uint32_t n_buckets, n_summaries, shift, n_in_buckets;
	uint64_t base, first_bucket; // the latter when n_in_buckets

	struct edf_slot *slot; // children of i at 4i + 1 to 4i + 4
	uint32_t n_slots;
};

// Bytes of memory for edf_init. memory: aligned to EDF_ALIGN, the caller's, as long as the queue is used.
uint64_t edf_memory_bytes(uint32_t n_flows);
void edf_init(struct edf *q, uint32_t n_flows, void *memory); // 1 to EDF_MAX_FLOWS flows

// The flow is not queued yet.
void edf_push(struct edf *q, uint32_t flow, uint64_t deadline_ns);
// The flow is queued.
void edf_remove(struct edf *q, uint32_t flow);

static inline bool
edf_is_empty(const struct edf *q)
{
	return q->n == 0;
}

static inline bool
edf_has(const struct edf *q, uint32_t flow)
{
	return q->node[flow].place != EDF_NONE;
}

// The earliest; EDF_NONE: the queue is empty.
static inline uint32_t
edf_first(const struct edf *q)
{
	return q->first;
}

// Its deadline; UINT64_MAX: the queue is empty.
static inline uint64_t
edf_first_ns(const struct edf *q)
{
	return q->first_ns;
}

bool edf_is_consistent(const struct edf *q); // for tests, the simulator and fuzzers
