// Earliest-deadline-first queue of entry numbers. Each entry is queued once at most; equal
// deadlines leave in order of their push. Exact. The earliest entries, EDF_FRONT at most, are in a
// sorted array, the front: pop is O(1), push walks past the entries that leave before. Deadlines of
// the next milliseconds behind the front are in a circle of buckets with bitmaps, sorted inside a
// bucket: O(1) except for entries that share a bucket in the wrong order. Deadlines beyond, or long
// past, are in a 4-ary heap: O(log4 n). Not thread-safe, never allocates. Times are ns on one clock
// of the caller's choice, 0 to 2^64 -
// 1.
// Sources: find-first-set queues, Saeed et al., "Eiffel: efficient and flexible software packet
// scheduling" (NSDI 2019); heaps of four children, LaMarca and Ladner (1996). docs/decisions.md has
// the figures of other structures.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define EDF_MAX 65536u
#define EDF_NONE UINT32_MAX // no entry
#define EDF_ALIGN 64u
#define EDF_MAX_BUCKETS 16384u // two levels of bitmaps
// Entries of the front, half of which move at a time. 16, 32 and 128 cost 1 to 5 ns more a packet
// with a backlog.
#define EDF_FRONT 64u
#define EDF_BURST 8u // entries that edf_push_burst takes at most
#define EDF_WINDOW_BITS 24 // buckets cover 2^24 ns, 16.8 ms, a quarter of it before the first entry

struct edf_node {
	uint64_t deadline_ns;
	uint64_t seq; // number of the push
	uint32_t next, prev; // in the bucket
	uint32_t place; // in the heap; EDF_NONE: not queued; else in the front or in a bucket
};

struct edf_entry {
	uint64_t deadline_ns;
	uint32_t entry;
};

struct edf_slot {
	uint64_t deadline_ns;
	uint64_t seq;
	uint32_t entry;
};

struct edf_bucket {
	uint32_t first, last; // entries; undefined when its bit is 0
};

struct edf {
	struct edf_node *node; // of each entry
	uint32_t n_entries, n;
	uint64_t seq; // of the next push

	// The front: entry n_front leaves first, entry 0 is behind all (EDF_NONE, UINT64_MAX).
	// Empty only when the queue is. A deadline below limit_ns belongs here; no entry behind the
	// front has one.
	uint32_t n_front;
	uint64_t limit_ns;
	struct edf_entry front[EDF_FRONT + EDF_BURST];

	// Buckets are numbered deadline >> shift. Bucket b is at b modulo n_buckets, for b from
	// base to base + n_buckets - 1.
	struct edf_bucket *bucket;
	uint64_t *word; // a bit per bucket
	uint64_t summary[EDF_MAX_BUCKETS / 64 / 64]; // a bit per word
	uint32_t n_buckets, n_summaries, shift, n_in_buckets;
	uint64_t base, first_bucket; // the latter when n_in_buckets

	struct edf_slot *slot; // children of i at 4i + 1 to 4i + 4
	uint32_t n_slots;
};

// Bytes of memory for edf_init. memory: aligned to EDF_ALIGN, the caller's, as long as the queue is
// used.
uint64_t edf_memory_bytes(uint32_t n_entries);
void edf_init(struct edf *q, uint32_t n_entries, void *memory); // 1 to EDF_MAX entries
// The same without touching the memory of entries: each begins with edf_begin_entry.
void edf_init_bare(struct edf *q, uint32_t n_entries, void *memory);

// The entry is not queued yet.
void edf_push(struct edf *q, uint32_t entry, uint64_t deadline_ns);
// The same as edf_push of one after the other, 1 to EDF_BURST entries, each once. Takes fewer
// mispredicted branches.
void edf_push_burst(struct edf *q, const struct edf_entry *in, uint32_t n);
// The entry is queued.
void edf_remove(struct edf *q, uint32_t entry);

static inline void
edf_begin_entry(struct edf *q, uint32_t entry)
{
	q->node[entry] = (struct edf_node){.place = EDF_NONE};
}

static inline bool
edf_is_empty(const struct edf *q)
{
	return q->n == 0;
}

static inline bool
edf_has(const struct edf *q, uint32_t entry)
{
	return q->node[entry].place != EDF_NONE;
}

// The earliest; EDF_NONE: the queue is empty.
static inline uint32_t
edf_first(const struct edf *q)
{
	return q->front[q->n_front].entry;
}

// Its deadline; UINT64_MAX: the queue is empty.
static inline uint64_t
edf_first_ns(const struct edf *q)
{
	return q->front[q->n_front].deadline_ns;
}

// An entry that leaves soon: n others before it, as the queue stands. EDF_NONE: none is known. For
// prefetches.
static inline uint32_t
edf_peek(const struct edf *q, uint32_t n)
{
	return n < q->n_front ? q->front[q->n_front - n].entry : EDF_NONE;
}

bool edf_is_consistent(const struct edf *q); // for tests, the simulator and fuzzers
