// Admission against the scheduler, on random sets.
#include "../unit.h"
#include "trial.h"

static void
show(void *arg, const struct trial_example *e)
{
	uint64_t *n = arg;

	assert_int_equal(e->result.reason, ADMISSION_DEADLINE);
	assert_true(e->worst_late_ns > 0);
	(*n)++;
}

static void
admitted_sets_are_kept_and_refused_ones_shown(void **state)
{
	struct trial_counts c;
	uint64_t n_shown = 0;

	(void)state;
	assert_int_equal(trial_run(2000, 1, show, &n_shown, &c), 0);
	print_message(
		"%llu admitted, %llu refused, %llu shown, %llu by less than packets not whole; closest %llu permille\n",
		(unsigned long long)c.admitted, (unsigned long long)c.refused, (unsigned long long)c.shown,
		(unsigned long long)c.partial, (unsigned long long)c.closest_permille);
	assert_true(c.admitted >= 1000);
	assert_int_equal(c.admitted + c.refused, 2000);
	assert_int_equal(c.broken, 0);
	assert_int_equal(c.not_shown, 0);
	assert_int_equal(c.shown, n_shown);
	assert_true(c.shown > c.refused * 3 / 4);
	// The arrivals are the worst: some packet nearly takes all of its deadline.
	assert_in_range(c.closest_permille, 950, 1000);
	assert_true(trial_is_right(&c));
}

static void
seeds_decide(void **state)
{
	struct trial_counts a, b, c;

	(void)state;
	assert_int_equal(trial_run(50, 1, NULL, NULL, &a), 0);
	assert_int_equal(trial_run(50, 1, NULL, NULL, &b), 0);
	assert_int_equal(trial_run(50, 2, NULL, NULL, &c), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_memory_not_equal(&a, &c, sizeof(a));
}

static void
a_broken_promise_is_not_right(void **state)
{
	struct trial_counts good = {.sets = 1, .admitted = 1}, broken = good, unseen = good;

	(void)state;
	broken.broken = 1;
	unseen.not_shown = 1;
	assert_true(trial_is_right(&good));
	assert_false(trial_is_right(&broken));
	assert_false(trial_is_right(&unseen));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(admitted_sets_are_kept_and_refused_ones_shown),
		cmocka_unit_test(seeds_decide),
		cmocka_unit_test(a_broken_promise_is_not_right),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
