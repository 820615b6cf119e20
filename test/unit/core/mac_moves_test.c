// MAC moves: the limit, and how often an excess is reported.
#include "../unit.h"
#include "rtvs/mac_moves.h"

#define S UINT64_C(1000000000)

static void
as_many_as_the_limit_are_not_many_and_one_more_are(void **state)
{
	uint64_t per_s = 7;

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		struct mac_moves m = {0};

		// nothing to compare with
		assert_false(mac_moves_are_many(&m, 1000, 100, &per_s, 5 * S));
		assert_int_equal(mac_moves_are_many(&m, 1100 + more, 100, &per_s, 6 * S), more);
		assert_int_equal(per_s, more ? 101 : 7);
	}
}

static void
rate_is_over_the_time_that_passed(void **state)
{
	struct mac_moves m = {0};
	uint64_t per_s;

	(void)state;
	assert_false(mac_moves_are_many(&m, 0, 100, &per_s, S));
	assert_false(mac_moves_are_many(&m, 400, 100, &per_s, 5 * S)); // a look that came late
	assert_false(mac_moves_are_many(&m, 450, 100, &per_s, 5 * S)); // twice at one time
	assert_true(mac_moves_are_many(&m, 550, 100, &per_s, 5 * S + S / 2));
	assert_int_equal(per_s, 200);
}

static void
loop_is_told_once_a_minute(void **state)
{
	struct mac_moves m = {0};
	unsigned n_told = 0;
	uint64_t per_s;

	(void)state;
	for (uint64_t i = 1; i <= 1 + 180; i++)
		n_told += mac_moves_are_many(&m, i * 5000, 100, &per_s, i * S);
	assert_int_equal(n_told, 3);
	assert_false(mac_moves_are_many(&m, 181 * 5000, 100, &per_s, 300 * S)); // it is over
}

static void
no_limit_tells_nothing(void **state)
{
	struct mac_moves m = {0};
	uint64_t per_s;

	(void)state;
	for (uint64_t i = 1; i <= 10; i++)
		assert_false(mac_moves_are_many(&m, i * 1000000, 0, &per_s, i * S));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_the_limit_are_not_many_and_one_more_are),
		cmocka_unit_test(rate_is_over_the_time_that_passed),
		cmocka_unit_test(loop_is_told_once_a_minute),
		cmocka_unit_test(no_limit_tells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
