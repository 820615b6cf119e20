// The queue against a list that is searched from end to end.
#include "../unit.h"
#include "rtvs/edf.h"
#include "rtvs/random.h"

#include <stdlib.h>

#define N_ENTRIES 300 // about half of them are queued: far more than the front holds
#define N_STEPS 200000

struct entry {
	bool is_queued;
	uint64_t deadline_ns, order;
};

static uint8_t memory[1 << 16] __attribute__((aligned(EDF_ALIGN)));

// Deadlines of all kinds: few different ones, so that equal ones are common; of the next
// milliseconds, which move on; far.
static uint64_t
random_deadline(uint64_t *seed, uint64_t now)
{
	switch (random_below(seed, 8)) {
	case 0:
		return random_below(seed, 3) ? random_wide(seed, 64) : UINT64_MAX;
	case 1:
	case 2:
		return now + random_below(seed, 4) * 1000;
	default:
		return now + random_below(seed, 20000000) - 1000000;
	}
}

static uint32_t
model_first(const struct entry *model)
{
	uint32_t best = EDF_NONE;

	for (uint32_t i = 0; i < N_ENTRIES; i++) {
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
push_burst(struct edf *q, struct entry *model, uint64_t *seed, uint64_t now, uint64_t *order)
{
	struct edf_entry in[EDF_BURST];
	uint32_t n = 0, max = 1 + (uint32_t)random_below(seed, EDF_BURST),
		 from = (uint32_t)random_below(seed, N_ENTRIES);

	for (uint32_t i = 0; i < N_ENTRIES && n < max; i++) {
		uint32_t entry = (from + i * 7) % N_ENTRIES;

		if (model[entry].is_queued)
			continue;
		model[entry] = (struct entry){true, random_deadline(seed, now), (*order)++};
		in[n++] = (struct edf_entry){model[entry].deadline_ns, entry};
	}
	if (n)
		edf_push_burst(q, in, n);
}

static void
equals_a_sorted_list(void **state)
{
	struct entry model[N_ENTRIES] = {0};
	uint64_t seed = 20260131, order = 0, now = 5000000;
	struct edf q;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	assert_true(edf_memory_bytes(N_ENTRIES) <= sizeof(memory));
	edf_init(&q, N_ENTRIES, memory);
	for (unsigned step = 0; step < N_STEPS; step++) {
		uint32_t entry = (uint32_t)random_below(&seed, N_ENTRIES), first;

		if (random_below(&seed, 3) == 0 && !edf_is_empty(&q))
			entry = edf_first(&q);
		if (random_below(&seed, 16) == 0) {
			push_burst(&q, model, &seed, now, &order);
		} else if (model[entry].is_queued) {
			if (entry == edf_first(&q) && model[entry].deadline_ns > now &&
				model[entry].deadline_ns < now << 1)
				now = model[entry].deadline_ns;
			edf_remove(&q, entry);
			model[entry].is_queued = false;
		} else {
			model[entry] = (struct entry){true, random_deadline(&seed, now), order++};
			edf_push(&q, entry, model[entry].deadline_ns);
		}
		first = model_first(model);
		assert_int_equal(edf_first(&q), first);
		assert_int_equal(edf_is_empty(&q), first == EDF_NONE);
		assert_true(edf_first_ns(&q) == (first == EDF_NONE ? UINT64_MAX : model[first].deadline_ns));
		assert_int_equal(edf_has(&q, entry), model[entry].is_queued);
		if (step % 8 == 0)
			assert_true(edf_is_consistent(&q));
	}
}

static void
drains_in_order(uint32_t n_entries, unsigned max_bits)
{
	uint8_t *big = aligned_alloc(EDF_ALIGN, edf_memory_bytes(n_entries));
	uint64_t seed = 7, last = 0;
	struct edf q;

	assert_non_null(big);
	edf_init(&q, n_entries, big);
	for (uint32_t i = 0; i < n_entries; i++)
		edf_push(&q, i, random_next(&seed) >> (64 - max_bits));
	assert_true(edf_is_consistent(&q));
	for (uint32_t i = 0; i < n_entries; i++) {
		assert_true(edf_first_ns(&q) >= last);
		last = edf_first_ns(&q);
		edf_remove(&q, edf_first(&q));
	}
	assert_true(edf_is_empty(&q) && edf_is_consistent(&q));
	free(big);
}

static void
drains_in_order_at_every_size(void **state)
{
	(void)state;
	drains_in_order(1, 20);
	drains_in_order(1025, 24);
	drains_in_order(20000, 25);
	drains_in_order(EDF_MAX, 23);
	drains_in_order(5000, 64);
}

static void
push_all(struct edf *q, uint32_t n, uint64_t deadline_ns)
{
	edf_init(q, N_ENTRIES, memory);
	for (uint32_t i = 0; i < n; i++)
		edf_push(q, i, deadline_ns);
}

static void
drains_by_number(struct edf *q, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < n; i++) {
		assert_true(edf_is_consistent(q));
		assert_int_equal(edf_first(q), i);
		edf_remove(q, i);
	}
	assert_true(edf_is_empty(q) && edf_is_consistent(q));
}

static void
front_holds_its_limit_and_one_more_moves_half_of_it(void **state)
{
	struct edf q;

	(void)state;
	push_all(&q, EDF_FRONT - 1, 1000);
	assert_int_equal(q.n_front, EDF_FRONT - 1);
	assert_true(edf_is_consistent(&q));
	edf_push(&q, EDF_FRONT - 1, 1000);
	assert_int_equal(q.n_front, EDF_FRONT / 2);
	drains_by_number(&q, 0, EDF_FRONT);
}

static void
burst_beyond_the_limit_of_the_front_moves_half_of_it(void **state)
{
	struct edf_entry in[EDF_BURST];
	struct edf q;

	(void)state;
	push_all(&q, EDF_FRONT - 1, 1000);
	for (uint32_t i = 0; i < EDF_BURST; i++)
		in[i] = (struct edf_entry){1000, EDF_FRONT - 1 + i};
	edf_push_burst(&q, in, EDF_BURST);
	assert_int_equal(q.n_front, EDF_FRONT / 2 + EDF_BURST - 1);
	drains_by_number(&q, 0, EDF_FRONT - 1 + EDF_BURST);
}

// Half of the equal ones are in the front, the others behind it. Later ones leave last, and an
// earlier one that makes the front spill again changes no order.
static void
equal_deadlines_keep_their_order_in_front_and_behind(void **state)
{
	struct edf q;

	(void)state;
	push_all(&q, N_ENTRIES / 2, 1000);
	for (uint32_t i = 0; i < EDF_FRONT / 2; i++) {
		assert_int_equal(edf_first(&q), i);
		edf_remove(&q, i);
	}
	for (uint32_t i = 0; i < EDF_FRONT / 2; i++)
		edf_push(&q, i, 999);
	drains_by_number(&q, 0, N_ENTRIES / 2);
}

static void
latest_deadline_there_is_leaves_last(void **state)
{
	struct edf q;

	(void)state;
	push_all(&q, 1, UINT64_MAX);
	edf_push(&q, 2, UINT64_MAX);
	assert_int_equal(edf_first(&q), 0);
	edf_remove(&q, 0);
	edf_push(&q, 1, UINT64_MAX - 1);
	drains_by_number(&q, 1, 3);
}

static void
inconsistency_is_seen(void **state)
{
	const uint32_t n = EDF_FRONT;
	struct edf q;

	(void)state;
	edf_init(&q, N_ENTRIES, memory);
	for (uint32_t i = 0; i < n; i++)
		edf_push(&q, i, i + 10);
	for (uint32_t i = n; i < n + 6; i++)
		edf_push(&q, i, UINT64_MAX - i); // in the heap
	assert_true(edf_is_consistent(&q));
	q.front[3].deadline_ns = 1; // before its predecessor in the front
	assert_false(edf_is_consistent(&q));
	q.front[3].deadline_ns = q.node[q.front[3].entry].deadline_ns;
	q.limit_ns++; // above that of an entry behind the front
	assert_false(edf_is_consistent(&q));
	q.limit_ns--;
	q.node[n - 3].deadline_ns = n / 2; // before its predecessor in the bucket
	assert_false(edf_is_consistent(&q));
	q.node[n - 3].deadline_ns = n - 3 + 10;
	assert_true(edf_is_consistent(&q));
	q.slot[5].deadline_ns = 1; // before its parent in the heap
	assert_false(edf_is_consistent(&q));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_a_sorted_list),
		cmocka_unit_test(drains_in_order_at_every_size),
		cmocka_unit_test(front_holds_its_limit_and_one_more_moves_half_of_it),
		cmocka_unit_test(burst_beyond_the_limit_of_the_front_moves_half_of_it),
		cmocka_unit_test(equal_deadlines_keep_their_order_in_front_and_behind),
		cmocka_unit_test(latest_deadline_there_is_leaves_last),
		cmocka_unit_test(inconsistency_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
