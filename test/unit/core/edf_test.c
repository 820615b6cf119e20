// The heap against a list that is searched from end to end.
#include "../unit.h"
#include "random.h"
#include "rtvs/edf.h"

#include <stdlib.h>

#define N_FLOWS 97
#define N_STEPS 200000

struct entry {
	bool is_queued;
	uint64_t deadline_ns, order;
};

static struct edf_slot slots[N_FLOWS];
static uint32_t positions[N_FLOWS];

static uint32_t
model_first(const struct entry *model)
{
	uint32_t best = EDF_NONE;

	for (uint32_t i = 0; i < N_FLOWS; i++) {
		const struct entry *a = &model[i];

		if (!a->is_queued)
			continue;
		if (best == EDF_NONE || a->deadline_ns < model[best].deadline_ns ||
			(a->deadline_ns == model[best].deadline_ns && a->order < model[best].order))
			best = i;
	}
	return best;
}

static void
equals_a_sorted_list(void **state)
{
	struct entry model[N_FLOWS] = {0};
	uint64_t seed = 20260131, order = 0;
	struct edf q;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	edf_init(&q, slots, positions, N_FLOWS);
	q.seq = UINT32_MAX - N_STEPS / 4; // wraps on the way
	for (unsigned step = 0; step < N_STEPS; step++) {
		uint32_t flow = (uint32_t)random_below(&seed, N_FLOWS), first;
		// Few different values: equal deadlines are common. Now and then the largest there is.
		uint64_t deadline = random_below(&seed, 50) ? random_below(&seed, 40) : UINT64_MAX;
		struct entry *e = &model[flow];

		if (!e->is_queued && random_below(&seed, 3)) {
			edf_push(&q, flow, deadline);
			*e = (struct entry){true, deadline, order++};
		} else if (e->is_queued && random_below(&seed, 2)) {
			edf_move(&q, flow, deadline);
			*e = (struct entry){true, deadline, order++};
		} else if (e->is_queued) {
			edf_remove(&q, flow);
			e->is_queued = false;
		} else if (!edf_is_empty(&q)) {
			model[edf_first(&q)].is_queued = false;
			edf_remove(&q, edf_first(&q));
		}
		first = model_first(model);
		assert_int_equal(edf_is_empty(&q), first == EDF_NONE);
		if (first != EDF_NONE) {
			assert_int_equal(edf_first(&q), first);
			assert_true(edf_first_ns(&q) == model[first].deadline_ns);
		}
		assert_int_equal(edf_has(&q, flow), e->is_queued);
		assert_true(edf_is_consistent(&q));
	}
}

static void
drains_in_order(void **state)
{
	uint64_t seed = 7, last = 0;
	struct edf q;

	(void)state;
	edf_init(&q, slots, positions, N_FLOWS);
	for (uint32_t i = 0; i < N_FLOWS; i++)
		edf_push(&q, i, random_wide(&seed, 64));
	for (uint32_t i = 0; i < N_FLOWS; i++) {
		assert_true(edf_first_ns(&q) >= last);
		last = edf_first_ns(&q);
		edf_remove(&q, edf_first(&q));
	}
	assert_true(edf_is_empty(&q));
}

static void
inconsistency_is_seen(void **state)
{
	struct edf q;

	(void)state;
	edf_init(&q, slots, positions, N_FLOWS);
	for (uint32_t i = 0; i < 6; i++)
		edf_push(&q, i, i + 10);
	assert_true(edf_is_consistent(&q));
	slots[5].deadline_ns = 1; // before its parent
	assert_false(edf_is_consistent(&q));
	slots[5].deadline_ns = 15;
	positions[3] = 0;
	assert_false(edf_is_consistent(&q));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_a_sorted_list),
		cmocka_unit_test(drains_in_order),
		cmocka_unit_test(inconsistency_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
