// Token bucket against exact rational arithmetic: the model counts billionths of a unit in 128
// bits.
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

// One bucket: gaps of all sizes, takes of all sizes, the promise of rate_ready_ns checked at that
// time and 1 ns before.
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

static void
shared_limit_starts_full_and_refuses_one_more(void **state)
{
	struct rate_limit l;
	uint64_t paid = 0, now = 3600 * NS_PER_S;

	(void)state;
	rate_limit_init(&l, 1000, 10);
	assert_false(rate_limit_take(&l, &paid, 11, now));
	assert_true(rate_limit_take(&l, &paid, 10, now));
	assert_false(rate_limit_take(&l, &paid, 1, now));
	assert_false(rate_limit_take(&l, &paid, 1, now + 999999));
	assert_true(rate_limit_take(&l, &paid, 1, now + 1000000));
	// it may owe less than the burst and one
	assert_int_equal(rate_limit_room(&l, &paid, 1, now + 1000000), 1 + 10 - 1);
	rate_limit_charge(&l, &paid, 1, now + 1000000);
	assert_int_equal(rate_limit_room(&l, &paid, 1, now + 1000000), 0);
	assert_true(rate_limit_room(&l, &paid, 1, now + 2000000) > 0);
	// At the bounds nothing overflows.
	rate_limit_init(&l, RATE_MAX, BURST_MAX);
	paid = 0;
	assert_true(rate_limit_take(&l, &paid, 1u << 29, now));
	rate_limit_init(&l, 1000, BURST_MAX);
	paid = 0;
	assert_true(rate_limit_take(&l, &paid, 1u << 29, 5000000 * NS_PER_S));
}

// Workers poll the queues of one port, some or all of which have packets of all lengths without
// end.
struct limited_run {
	uint64_t rate, burst, longest;
	unsigned n_workers, n_busy;
};

static void
run_limited(const struct limited_run *run, uint64_t *seed)
{
	const uint64_t begin = 100 * NS_PER_S, end = begin + 20 * NS_PER_S;
	uint64_t next[4], now, sum = 0, last = begin, owed = run->n_busy * (run->burst + run->longest);
	uint64_t gap_max = owed * NS_PER_S / run->rate + 400000;
	struct rate_limit l;
	uint64_t paid = begin * RATE_LIMIT_PARTS; // nothing saved up
	int64_t least = 0;

	rate_limit_init(&l, run->rate, run->burst);
	for (unsigned i = 0; i < run->n_workers; i++)
		next[i] = begin + random_below(seed, 100000);
	for (;;) {
		unsigned i = 0;
		uint64_t room, n = 0;
		int64_t ahead;

		for (unsigned k = 1; k < run->n_workers; k++)
			i = next[k] < next[i] ? k : i;
		now = next[i];
		if (now >= end)
			break;
		next[i] += 1 + random_below(seed, 200000);
		room = i < run->n_busy ? rate_limit_room(&l, &paid, run->longest, now) : 0;
		for (room = room < 32 ? room : 32; room; room--)
			n += random_below(seed, 3) ? 60 + random_below(seed, run->longest - 60) + 1 : run->longest;
		if (!n)
			continue;
		rate_limit_charge(&l, &paid, n, now);
		assert_true(now - last <= gap_max);
		last = now;
		// In no time did more come than the rate and what may be saved up or owed.
		ahead = (int64_t)(sum - run->rate * (now - begin) / NS_PER_S);
		least = ahead < least ? ahead : least;
		sum += n;
		assert_true(ahead + (int64_t)n - least <= (int64_t)(run->burst + owed));
	}
	assert_in_range(sum, run->rate * 20 * 99 / 100 - run->burst, run->rate * 20 + run->burst + owed);
}

static void
shared_limit_is_the_ports_whoever_polls_it(void **state)
{
	static const uint64_t rates[] = {125000, 2500000, 125000000};
	uint64_t seed = 141421;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned r = 0; r < 3; r++)
		for (unsigned n_workers = 1; n_workers <= 4; n_workers++)
			for (unsigned n_busy = 1; n_busy <= n_workers; n_busy++) {
				struct limited_run run = {rates[r], rates[r] / 1000 > 15000 ? rates[r] / 1000 : 15000,
					65550, n_workers, n_busy};

				run_limited(&run, &seed);
				run.longest = 1514;
				run_limited(&run, &seed);
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_full_and_refuses_one_more),
		cmocka_unit_test(rate_zero_never_refills_and_burst_zero_is_always_empty),
		cmocka_unit_test(time_that_goes_back_refills_nothing),
		cmocka_unit_test(bounds_of_rate_burst_and_gap_do_not_overflow),
		cmocka_unit_test(shared_limit_starts_full_and_refuses_one_more),
		cmocka_unit_test(shared_limit_is_the_ports_whoever_polls_it),
		cmocka_unit_test(tokens_equal_exact_arithmetic_over_random_gaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
