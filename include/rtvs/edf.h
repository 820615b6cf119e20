// Earliest-deadline-first queue of flow numbers over caller-owned memory: a 4-ary heap whose slots hold the keys, so that
// an operation touches neither flows nor packets. Each flow is queued once at most. Equal deadlines leave in order of
// their push. Not thread-safe, never allocates. Times are ns on one clock of the caller's choice, 0 to 2^64 - 1.
// Push, pop, replace, move and remove take O(log4 n); docs/decisions.md has what other structures took.
// Source: heaps of four children, LaMarca and Ladner, "The influence of caches on the performance of heaps" (1996).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define EDF_NONE UINT32_MAX // no flow; a flow that is not queued has it as position

struct edf_slot {
	uint64_t deadline_ns;
	uint32_t seq; // order of pushes, modulo 2^32
	uint32_t flow;
};

struct edf {
	struct edf_slot *slot; // children of i at 4i + 1 to 4i + 4
	uint32_t *position; // of each flow in slot, EDF_NONE: not queued
	uint32_t n, n_flows;
	uint32_t seq;
};

// slots and positions: n_flows of each, the caller's, until the queue is not used any more. Fastest when &slots[1] begins a
// cache line: then four children do.
void edf_init(struct edf *q, struct edf_slot *slots, uint32_t *positions, uint32_t n_flows);

// The flow is not queued yet.
void edf_push(struct edf *q, uint32_t flow, uint64_t deadline_ns);
// The flow is queued: it gets a new deadline, and its place among equals is that of a push.
void edf_move(struct edf *q, uint32_t flow, uint64_t deadline_ns);
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
	return q->position[flow] != EDF_NONE;
}

// The queue is not empty.
static inline uint32_t
edf_first(const struct edf *q)
{
	return q->slot[0].flow;
}

static inline uint64_t
edf_first_ns(const struct edf *q)
{
	return q->slot[0].deadline_ns;
}

bool edf_is_consistent(const struct edf *q); // for tests, the simulator and fuzzers
