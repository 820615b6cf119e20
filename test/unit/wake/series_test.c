// A series keeps its peaks, its order and its bound.
#include "../unit.h"
#include "series.h"

static struct series s;

static void
few_values_are_all_there(void **state)
{
	(void)state;
	series_init(&s);
	for (uint32_t i = 0; i < SERIES_MAX; i++)
		series_add(&s, i, i * 10);
	assert_int_equal(s.n, SERIES_MAX);
	assert_int_equal(s.points[SERIES_MAX - 1].value, SERIES_MAX - 1);
	assert_int_equal(s.points[7].at_ns, 70);
}

static void
one_more_halves_them(void **state)
{
	few_values_are_all_there(state);
	series_add(&s, 5, SERIES_MAX * 10);
	assert_int_equal(s.n, SERIES_MAX / 2 + 1);
	assert_int_equal(s.points[0].value, 1);
	series_add(&s, 9, SERIES_MAX * 10 + 10);
	assert_int_equal(s.n, SERIES_MAX / 2 + 1);
	assert_int_equal(s.points[SERIES_MAX / 2].value, 9);
}

static void
peaks_stay(void **state)
{
	uint32_t n_peaks = 0;

	(void)state;
	series_init(&s);
	for (uint32_t i = 0; i < SERIES_MAX * 9; i++)
		series_add(&s, i == 12345 || i == SERIES_MAX * 8 + 3 ? 500 : i % 3, i);
	assert_true(s.n <= SERIES_MAX);
	for (unsigned i = 0; i < s.n; i++) {
		n_peaks += s.points[i].value == 500;
		assert_true(!i || s.points[i].at_ns > s.points[i - 1].at_ns);
	}
	assert_int_equal(n_peaks, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_values_are_all_there),
		cmocka_unit_test(one_more_halves_them),
		cmocka_unit_test(peaks_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
