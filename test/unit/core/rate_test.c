// Token bucket against exact rational arithmetic: the model counts billionths of a unit in 128 bits.
#include "../unit.h"
#include "rtvs/random.h"
#include "rtvs/rate.h"

#define NS_PER_S UINT64_C(1000000000)
#define BURST_MAX (UINT64_C(1) << 32)
#define N_BUCKETS 400
#define N_STEPS 1000

typedef unsigned __int128 exact; // units * 1e-9

static exact
model_refill(exact level, const struct rate *r, uint64_t dt_ns)
{
	exact full = (exact)r->full;

	level += (exact)r->rate * dt_ns; // below 2^100
	return level < full ? level : full;
}

static void
starts_full_and_refuses_one_more(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 1000, 10, 5);
	assert_false(rate_take(&r, 11, 5));
	assert_true(rate_take(&r, 10, 5));
	assert_false(rate_take(&r, 1, 5));
	assert_false(rate_take(&r, 1, 5 + 999999));
	assert_true(rate_take(&r, 1, 5 + 1000000));
}

static void
rate_zero_never_refills_and_burst_zero_is_always_empty(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 0, 3, 0);
	assert_true(rate_take(&r, 3, 0));
	assert_true(rate_ready_ns(&r, 1, UINT64_MAX / 2) == UINT64_MAX);
	assert_false(rate_take(&r, 1, UINT64_MAX));
	rate_init(&r, RATE_MAX, 0, 0);
	assert_false(rate_take(&r, 1, UINT64_MAX));
	assert_true(rate_ready_ns(&r, 1, UINT64_MAX) == UINT64_MAX);
}

static void
time_that_goes_back_refills_nothing(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, NS_PER_S, 100, 1000);
	assert_true(rate_take(&r, 100, 1000));
	assert_false(rate_take(&r, 1, 10));
	assert_true(rate_ready_ns(&r, 1, 10) == 1001);
	assert_true(rate_take(&r, 1, 1001));
	assert_false(rate_take(&r, 1, 1001));
}

static void
bounds_of_rate_burst_and_gap_do_not_overflow(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, RATE_MAX, BURST_MAX, 0);
	assert_true(rate_take(&r, BURST_MAX, 0));
	assert_true(rate_ready_ns(&r, BURST_MAX, 0) == 85899346); // 2^32 / 50 ns, rounded up
	assert_true(rate_take(&r, BURST_MAX, UINT64_MAX));
	rate_init(&r, 1, BURST_MAX, 0);
	assert_true(rate_take(&r, BURST_MAX, 0));
	assert_true(rate_ready_ns(&r, BURST_MAX, 0) == BURST_MAX * NS_PER_S);
	assert_false(rate_take(&r, BURST_MAX, BURST_MAX * NS_PER_S - 1));
	assert_true(rate_take(&r, BURST_MAX, BURST_MAX * NS_PER_S));
	assert_true(rate_ready_ns(&r, BURST_MAX, UINT64_MAX) == UINT64_MAX);
}

// One bucket: gaps of all sizes, takes of all sizes, the promise of rate_ready_ns checked at that time and 1 ns before.
static void
run_model(uint64_t *rng)
{
	uint64_t now_ns = random_wide(rng, 62);
	struct rate r;

	rate_init(&r, 1 + random_wide(rng, 36) % RATE_MAX, 1 + random_wide(rng, 33) % BURST_MAX, now_ns);
	exact level = (exact)r.full;
	for (unsigned i = 0; i < N_STEPS; i++) {
		uint64_t dt_ns = random_wide(rng, random_below(rng, 50) ? 30 : 50);
		uint64_t n = 1 + random_wide(rng, 33) % (r.full / NS_PER_S);

		now_ns += dt_ns;
		level = model_refill(level, &r, dt_ns);
		uint64_t ready_ns = rate_ready_ns(&r, n, now_ns);
		assert_true(ready_ns >= now_ns);
		assert_true(model_refill(level, &r, ready_ns - now_ns) >= (exact)n * NS_PER_S);
		if (ready_ns > now_ns)
			assert_true(model_refill(level, &r, ready_ns - now_ns - 1) < (exact)n * NS_PER_S);
		bool expected = level >= (exact)n * NS_PER_S;
		assert_int_equal(rate_take(&r, n, now_ns), expected);
		if (expected)
			level -= (exact)n * NS_PER_S;
		assert_true(r.tokens == level);
	}
}

static void
tokens_equal_exact_arithmetic_over_random_gaps(void **state)
{
	uint64_t rng = unit_seed();

	(void)state;
	for (unsigned i = 0; i < N_BUCKETS; i++)
		run_model(&rng);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_full_and_refuses_one_more),
		cmocka_unit_test(rate_zero_never_refills_and_burst_zero_is_always_empty),
		cmocka_unit_test(time_that_goes_back_refills_nothing),
		cmocka_unit_test(bounds_of_rate_burst_and_gap_do_not_overflow),
		cmocka_unit_test(tokens_equal_exact_arithmetic_over_random_gaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
