// Policies: their orders on the same packets, the same link under each, limits and late packets.
#include "../unit.h"
#include "policy.h"

#include <errno.h>

#define US UINT64_C(1000)
#define BYTE_PER_US UINT64_C(1000000) // bytes/s
#define N_FLOWS 3u

static const struct sched_params flows[N_FLOWS] = {
	{.weight = 1, .limit = 4}, {.deadline_ns = 900 * US, .min_rate = 100000, .burst = 400, .weight = 1, .limit = 4},
	{.deadline_ns = 500 * US, .weight = 1, .limit = 4}, // a deadline without guarantee
};

static void
each_policy_has_its_order(void **state)
{
	static const uint16_t expected[POLICY_COUNT][6] = {
		[POLICY_EDF] = {1, 1, 0, 0, 2, 2}, // guaranteed first, then the round
		[POLICY_FIFO] = {0, 1, 2, 0, 1, 2},
		[POLICY_PRIORITY] = {2, 2, 1, 1, 0, 0},
		[POLICY_DRR] = {0, 0, 1, 1, 2, 2}, // the quantum is longer than both packets
	};

	(void)state;
	for (unsigned type = 0; type < POLICY_COUNT; type++) {
		struct policy *p = policy_create((enum policy_type)type, flows, N_FLOWS, BYTE_PER_US);
		struct sched_item items[6], *item;
		uint64_t now = 0, left_ns;

		assert_non_null(p);
		assert_false(policy_next_ns(p, &now, 0));
		for (uint16_t i = 0; i < 6; i++) {
			items[i] = (struct sched_item){.len = 100, .user = i % 3};
			assert_int_equal(policy_enqueue(p, &items[i], 0), 0);
		}
		for (unsigned i = 0; i < 6; i++) {
			assert_true(policy_next_ns(p, &now, now));
			// one after the other, no time between them
			assert_int_equal(now, i * 100 * US);
			item = policy_dequeue(p, &left_ns, now);
			assert_non_null(item);
			assert_int_equal(item->user, expected[type][i]);
			assert_int_equal(left_ns, now + 100 * US);
			assert_null(policy_dequeue(p, &left_ns, left_ns - 1)); // the link is busy
		}
		assert_false(policy_next_ns(p, &now, now));
		policy_destroy(p);
	}
}

static void
thirds_of_nanoseconds_add_up(void **state)
{
	(void)state;
	for (unsigned type = 0; type < POLICY_COUNT; type++) {
		struct policy *p = policy_create((enum policy_type)type, flows, N_FLOWS, 3 * BYTE_PER_US);
		struct sched_item items[3];
		uint64_t now = 0;

		assert_non_null(p);
		for (unsigned i = 0; i < 3; i++) {
			items[i] = (struct sched_item){.len = 100};
			assert_int_equal(policy_enqueue(p, &items[i], 0), 0);
		}
		for (unsigned i = 0; i < 3; i++)
			assert_ptr_equal(policy_dequeue(p, &now, now), &items[i]);
		assert_int_equal(now, 100 * US);
		policy_destroy(p);
	}
}

static void
flows_of_one_deadline_are_first_come_first_served_under_priority(void **state)
{
	struct sched_params same[2] = {flows[2], flows[2]};
	struct policy *p = policy_create(POLICY_PRIORITY, same, 2, BYTE_PER_US);
	struct sched_item items[4];
	uint64_t now = 0, left_ns;

	(void)state;
	assert_non_null(p);
	for (uint16_t i = 0; i < 4; i++) {
		items[i] = (struct sched_item){.len = 100, .user = i % 2};
		assert_int_equal(policy_enqueue(p, &items[i], 0), 0);
	}
	for (unsigned i = 0; i < 4; i++, now = left_ns)
		assert_ptr_equal(policy_dequeue(p, &left_ns, now), &items[i]);
	policy_destroy(p);
}

static void
limit_is_of_each_flow(void **state)
{
	(void)state;
	for (unsigned type = 0; type < POLICY_COUNT; type++) {
		struct policy *p = policy_create((enum policy_type)type, flows, N_FLOWS, BYTE_PER_US);
		struct sched_item items[6];

		assert_non_null(p);
		for (unsigned i = 0; i < 6; i++) {
			items[i] = (struct sched_item){.len = 100, .user = i == 5};
			assert_int_equal(policy_enqueue(p, &items[i], 0), i == 4 ? -ENOBUFS : 0);
		}
		policy_destroy(p);
	}
}

static void
late_packets_take_no_link_time(void **state)
{
	struct sched_params strict = flows[2];

	(void)state;
	strict.drops_late = true;
	for (unsigned type = 0; type < POLICY_COUNT; type++) {
		struct policy *p = policy_create((enum policy_type)type, &strict, 1, BYTE_PER_US);
		struct sched_item late = {.len = 100}, good = {.len = 100, .arrival_ns = 1 * US};
		uint64_t left_ns = 0;

		assert_non_null(p);
		assert_int_equal(policy_enqueue(p, &late, 0), 0);
		assert_int_equal(policy_enqueue(p, &good, 1 * US), 0);
		assert_ptr_equal(policy_dequeue(p, &left_ns, 501 * US), &late);
		assert_int_equal(late.verdict, SCHED_LATE);
		assert_ptr_equal(policy_dequeue(p, &left_ns, 501 * US), &good);
		assert_int_not_equal(good.verdict, SCHED_LATE);
		assert_int_equal(left_ns, 601 * US);
		policy_destroy(p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_policy_has_its_order),
		cmocka_unit_test(thirds_of_nanoseconds_add_up),
		cmocka_unit_test(flows_of_one_deadline_are_first_come_first_served_under_priority),
		cmocka_unit_test(limit_is_of_each_flow),
		cmocka_unit_test(late_packets_take_no_link_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
