// Readers always have a pair that was set, also when the writer has stopped in the middle.
#include "../unit.h"
#include "rtvs/shared_clock.h"

#include <pthread.h>

#define N_SETS 2000000

static struct shared_clock clock_;

static void
writer_that_stopped_keeps_nobody_from_the_last_pair(void **state)
{
	struct shared_clock c = {0};
	uint64_t uncertainty_ns;
	int64_t offset_ns;

	(void)state;
	shared_clock_set(&c, -5, 6);
	c.copy[(c.gen + 1) % 2].offset_ns = 77; // half of the next
	shared_clock_get(&c, &offset_ns, &uncertainty_ns);
	assert_int_equal(offset_ns, -5);
	assert_int_equal(uncertainty_ns, 6);
	shared_clock_set(&c, 7, 8);
	shared_clock_get(&c, &offset_ns, &uncertainty_ns);
	assert_int_equal(offset_ns, 7);
	assert_int_equal(uncertainty_ns, 8);
}

static void *
set_all(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i <= N_SETS; i++)
		shared_clock_set(&clock_, -(int64_t)i, i);
	return NULL;
}

static void
pairs_are_never_mixed(void **state)
{
	uint64_t uncertainty_ns, last = 0;
	int64_t offset_ns;
	pthread_t writer;

	(void)state;
	assert_int_equal(pthread_create(&writer, NULL, set_all, NULL), 0);
	while (last < N_SETS) {
		shared_clock_get(&clock_, &offset_ns, &uncertainty_ns);
		assert_true(offset_ns == -(int64_t)uncertainty_ns && uncertainty_ns >= last);
		last = uncertainty_ns;
	}
	assert_int_equal(pthread_join(writer, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writer_that_stopped_keeps_nobody_from_the_last_pair),
		cmocka_unit_test(pairs_are_never_mixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
