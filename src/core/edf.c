// The heap of rtvs/edf.h. Invariant: no slot is before its parent, and position[slot[i].flow] == i for every slot in use.
#include "rtvs/edf.h"

#include <assert.h>

#define ARITY 4u

// Deadlines first, then the order of pushes: fewer than 2^31 pushes lie between two that are queued together and equal.
static bool
is_before(const struct edf_slot *a, const struct edf_slot *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns;
	return (int32_t)(a->seq - b->seq) < 0;
}

static void
put(struct edf *q, uint32_t at, const struct edf_slot *slot)
{
	q->slot[at] = *slot;
	q->position[slot->flow] = at;
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

		if (child >= q->n)
			break;
		if (end > q->n)
			end = q->n;
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

// The slot may belong above or below `at`.
static void
place(struct edf *q, uint32_t at, const struct edf_slot *slot)
{
	if (at > 0 && is_before(slot, &q->slot[(at - 1) / ARITY]))
		sift_up(q, at, slot);
	else
		sift_down(q, at, slot);
}

void
edf_init(struct edf *q, struct edf_slot *slots, uint32_t *positions, uint32_t n_flows)
{
	// 4i + 4 of the last slot must not wrap.
	assert(n_flows < UINT32_MAX / ARITY - ARITY);
	*q = (struct edf){.slot = slots, .position = positions, .n_flows = n_flows};
	for (uint32_t i = 0; i < n_flows; i++)
		positions[i] = EDF_NONE;
}

void
edf_push(struct edf *q, uint32_t flow, uint64_t deadline_ns)
{
	struct edf_slot slot = {.deadline_ns = deadline_ns, .seq = q->seq++, .flow = flow};

	assert(flow < q->n_flows && !edf_has(q, flow));
	sift_up(q, q->n++, &slot);
}

void
edf_move(struct edf *q, uint32_t flow, uint64_t deadline_ns)
{
	struct edf_slot slot = {.deadline_ns = deadline_ns, .seq = q->seq++, .flow = flow};

	assert(flow < q->n_flows && edf_has(q, flow));
	place(q, q->position[flow], &slot);
}

void
edf_remove(struct edf *q, uint32_t flow)
{
	struct edf_slot last;
	uint32_t at;

	assert(flow < q->n_flows && edf_has(q, flow));
	at = q->position[flow];
	q->position[flow] = EDF_NONE;
	last = q->slot[--q->n];
	if (at < q->n)
		place(q, at, &last);
}

bool
edf_is_consistent(const struct edf *q)
{
	uint32_t n_queued = 0;

	if (q->n > q->n_flows)
		return false;
	for (uint32_t i = 0; i < q->n; i++) {
		if (q->slot[i].flow >= q->n_flows || q->position[q->slot[i].flow] != i)
			return false;
		if (i > 0 && is_before(&q->slot[i], &q->slot[(i - 1) / ARITY]))
			return false;
	}
	for (uint32_t i = 0; i < q->n_flows; i++)
		n_queued += q->position[i] != EDF_NONE;
	return n_queued == q->n;
}
