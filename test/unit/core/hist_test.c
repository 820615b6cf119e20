// Histogram against a sorted array of the same values.
#include "../unit.h"
#include "rtvs/hist.h"
#include "rtvs/random.h"

#include <stdlib.h>

#define N_ROUNDS 25
#define N_VALUES 8000

static struct hist h, other;

static void
buckets_cover_all_values_without_gap_or_overlap(void **state)
{
	(void)state;
	assert_int_equal(hist_bucket_low(0), 0);
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t low = hist_bucket_low(i), high = hist_bucket_high(i);

		assert_true(low <= high);
		assert_true(high - low <= low / HIST_SUB);
		if (i + 1 < HIST_BUCKETS)
			assert_true(high + 1 == hist_bucket_low(i + 1));
		hist_init(&h);
		hist_add(&h, low);
		hist_add(&h, high);
		assert_int_equal(h.bucket[i], 2);
	}
	assert_true(hist_bucket_high(HIST_BUCKETS - 1) == UINT64_MAX);
}

static void
empty_histogram_has_percentile_zero(void **state)
{
	(void)state;
	hist_init(&h);
	assert_int_equal(hist_percentile(&h, 99990), 0);
	assert_int_equal(hist_percentile(&h, 0), 0);
}

static void
percentile_never_exceeds_the_largest_value(void **state)
{
	(void)state;
	hist_init(&h);
	hist_add(&h, 1000);
	for (uint32_t p = 0; p <= 100000; p += 1000)
		assert_int_equal(hist_percentile(&h, p), 1000);
	assert_int_equal(hist_percentile(&h, UINT32_MAX), 1000);
	hist_add(&h, UINT64_MAX);
	assert_true(hist_percentile(&h, 100000) == UINT64_MAX);
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

// The exact percentile lies in the bucket whose upper bound is the answer.
static void
check_percentile(const uint64_t *sorted, size_t n, uint32_t per_100k)
{
	size_t rank = (size_t)(((unsigned __int128)n * per_100k + 99999) / 100000);
	uint64_t exact = sorted[rank ? rank - 1 : 0];
	uint64_t got = hist_percentile(&h, per_100k);

	assert_true(got >= exact);
	assert_true(got - exact <= exact / HIST_SUB);
	assert_true(got <= sorted[n - 1]);
}

static void
percentiles_agree_with_a_sorted_array(void **state)
{
	static const uint32_t shares[] = {0, 1, 10, 1000, 50000, 90000, 99000, 99900, 99990, 99999, 100000};
	static uint64_t values[N_VALUES];
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		size_t n = 1 + random_below(&rng, N_VALUES);
		uint64_t sum = 0;

		hist_init(&h);
		hist_init(&other);
		for (size_t i = 0; i < n; i++) {
			values[i] = random_wide(&rng, 64);
			sum += values[i];
			hist_add(i % 3 ? &h : &other, values[i]);
		}
		hist_merge(&h, &other);
		qsort(values, n, sizeof(values[0]), compare);
		assert_int_equal(h.count, n);
		assert_true(h.sum == sum);
		assert_true(h.max == values[n - 1]);
		for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
			check_percentile(values, n, shares[i]);
		check_percentile(values, n, (uint32_t)random_below(&rng, 100001));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_cover_all_values_without_gap_or_overlap),
		cmocka_unit_test(empty_histogram_has_percentile_zero),
		cmocka_unit_test(percentile_never_exceeds_the_largest_value),
		cmocka_unit_test(percentiles_agree_with_a_sorted_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
