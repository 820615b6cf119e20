// Sources: exact averages, the distribution of exponential numbers, conformance of greedy ones.
#include "../unit.h"
#include "source.h"

#define NS_PER_S UINT64_C(1000000000)
#define MS UINT64_C(1000000)

// Bytes within a second.
static uint64_t
bytes_in_a_second(const struct source_params *p, uint64_t seed)
{
	struct source s;
	uint64_t bytes = 0, last_ns = 0;

	source_init(&s, p, seed);
	while (s.next_ns < NS_PER_S) {
		assert_true(s.next_ns >= last_ns);
		last_ns = s.next_ns;
		bytes += s.len;
		source_advance(&s);
	}
	return bytes;
}

static void
exponential_numbers_have_their_distribution(void **state)
{
	const uint64_t n = 1000000, one = UINT64_C(1) << 32;
	uint64_t seed = 42, sum = 0, below_half_life = 0, above_5 = 0;

	(void)state;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t e = source_exponential(&seed);

		assert_true(e < 45 * one);
		sum += e >> 8; // 10^6 * 45 * 2^24 fits
		below_half_life += e < 2977044472; // ln 2
		above_5 += e > 5 * one;
	}
	assert_in_range(sum / n, (one >> 8) * 998 / 1000, (one >> 8) * 1002 / 1000);
	assert_in_range(below_half_life, n * 498 / 1000, n * 502 / 1000);
	assert_in_range(above_5, 6500, 6980); // e^-5: 6,738
	// These are the numbers on every machine.
	seed = 1;
	assert_int_equal(source_exponential(&seed), UINT64_C(2440269466));
}

static void
averages_are_exact_though_gaps_are_not_whole(void **state)
{
	// 64 bytes at 400 Gbit/s take 1.28 ns, 1500 at 99.999937 Mbit/s 120.0000756 us.
	struct source_params fast = {.type = SOURCE_CBR, .link_rate_bps = 400 * NS_PER_S, .packet = 64};
	struct source_params odd = {.type = SOURCE_CBR, .link_rate_bps = 99999937, .packet = 1500};
	struct source s;

	(void)state;
	source_init(&s, &fast, 1);
	for (unsigned i = 0; i < 1000000; i++)
		source_advance(&s);
	assert_int_equal(s.next_ns, 1280000);
	assert_in_range(bytes_in_a_second(&odd, 1), 99999937 / 8, 99999937 / 8 + 1500);
}

static void
random_sources_have_their_means(void **state)
{
	struct source_params poisson = {.type = SOURCE_POISSON, .link_rate_bps = 800000000, .packet = 1000};
	struct source_params onoff = {
		.type = SOURCE_ONOFF, .link_rate_bps = 800000000, .packet = 1000, .on_ns = MS, .off_ns = 3 * MS};

	(void)state;
	assert_in_range(bytes_in_a_second(&poisson, 3), 99000000, 101000000);
	// a quarter of the time, 250 times
	assert_in_range(bytes_in_a_second(&onoff, 3), 22000000, 28000000);
	assert_int_not_equal(bytes_in_a_second(&poisson, 3), bytes_in_a_second(&poisson, 4));
}

static void
greedy_source_sends_its_burst_and_then_its_rate(void **state)
{
	struct source_params p = {
		.type = SOURCE_GREEDY, .link_rate_bps = 8000000, .burst_bytes = 3500, .start_ns = MS, .packet = 1000};
	static const uint64_t expected_us[] = {1000, 1000, 1000, 1500, 2500, 3500};
	struct source s;

	(void)state;
	source_init(&s, &p, 1);
	for (unsigned i = 0; i < sizeof(expected_us) / sizeof(*expected_us); i++) {
		assert_int_equal(s.next_ns, expected_us[i] * 1000);
		source_advance(&s);
	}
}

static void
bursts_come_whole_and_keep_the_rate(void **state)
{
	// Three of 3,500 bytes; their 3 ms are the gap.
	struct source_params p = {
		.type = SOURCE_BURSTS, .link_rate_bps = 8000000, .burst_bytes = 3500, .start_ns = MS, .packet = 1000};
	static const uint64_t expected_us[] = {1000, 1000, 1000, 4000, 4000, 4000, 7000};
	struct source_params odd = {
		.type = SOURCE_BURSTS, .link_rate_bps = 99999937, .burst_bytes = 60000, .packet = 1500};
	struct source s;

	(void)state;
	source_init(&s, &p, 1);
	for (unsigned i = 0; i < sizeof(expected_us) / sizeof(*expected_us); i++) {
		assert_int_equal(s.next_ns, expected_us[i] * 1000);
		assert_int_equal(s.len, 1000);
		source_advance(&s);
	}
	assert_in_range(bytes_in_a_second(&odd, 1), 99999937 / 8, 99999937 / 8 + 60000);
}

static void
trace_is_replayed_and_ends(void **state)
{
	struct source_entry entries[] = {{5, 100}, {5, 200}, {9, 300}};
	struct source_params p = {.type = SOURCE_TRACE, .trace = entries, .n_trace = 3};
	struct source s;

	(void)state;
	source_init(&s, &p, 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(s.next_ns, entries[i].at_ns);
		assert_int_equal(s.len, entries[i].len);
		source_advance(&s);
	}
	assert_int_equal(s.next_ns, UINT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exponential_numbers_have_their_distribution),
		cmocka_unit_test(averages_are_exact_though_gaps_are_not_whole),
		cmocka_unit_test(random_sources_have_their_means),
		cmocka_unit_test(greedy_source_sends_its_burst_and_then_its_rate),
		cmocka_unit_test(bursts_come_whole_and_keep_the_rate),
		cmocka_unit_test(trace_is_replayed_and_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
