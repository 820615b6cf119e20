// The control law under virtual time, and the throughput of senders of two kinds on a link with it.
#include "../unit.h"
#include "rtvs/codel.h"

#define MS UINT64_C(1000000)
#define T CODEL_TARGET_NS
#define I CODEL_INTERVAL_NS

static void
target_is_two_frames_of_a_slow_link(void **state)
{
	(void)state;
	assert_int_equal(codel_target_ns(0, 1514), T);
	assert_int_equal(codel_target_ns(UINT64_C(50000000000), 1514), T);
	assert_int_equal(codel_target_ns(250000, 1514), 12112000); // 2 Mbit/s
	assert_int_equal(codel_target_ns(1, 1514), CODEL_TARGET_MAX_NS);
}

static void
short_waits_and_a_burst_lose_nothing(void **state)
{
	struct codel c = {0};

	(void)state;
	for (uint64_t t = 1; t < 1000; t++)
		assert_false(codel_drops(&c, T - 1, false, T, t * MS));
	// For just under an interval, then once below, and again.
	for (uint64_t t = 0; t < I; t += MS)
		assert_false(codel_drops(&c, 50 * MS, false, T, 1000 * MS + t));
	assert_false(codel_drops(&c, T - 1, false, T, 1100 * MS));
	for (uint64_t t = 0; t < I; t += MS)
		assert_false(codel_drops(&c, 50 * MS, false, T, 1101 * MS + t));
}

static void
last_packet_is_never_dropped(void **state)
{
	struct codel c = {0};

	(void)state;
	for (uint64_t t = 1; t < 1000; t++)
		assert_false(codel_drops(&c, 500 * MS, true, T, t * MS));
}

// Drop n comes interval / sqrt(n) after the one before.
static void
drops_come_faster_until_the_wait_is_short(void **state)
{
	struct codel c = {0};
	uint64_t first_ns = 0, last_ns = 0;
	unsigned n = 0;

	(void)state;
	for (uint64_t now_ns = 1; n < 30; now_ns += 10000) {
		if (!codel_drops(&c, 20 * MS, false, T, now_ns))
			continue;
		if (!n)
			first_ns = now_ns;
		else // the square of gap / interval is 1 / n
			assert_in_range((now_ns - last_ns) / 1000 * ((now_ns - last_ns) / 1000) * n,
				I / 1000 * I / 1000 * 99 / 100, I / 1000 * I / 1000 * 101 / 100);
		last_ns = now_ns;
		n++;
	}
	assert_in_range(first_ns, I, I + 20000);
	assert_false(codel_drops(&c, T - 1, false, T, last_ns + 10 * I));
	assert_false(codel_drops(&c, 20 * MS, false, T, last_ns + 10 * I + 1));
	// Soon again: with the rate that it had.
	assert_true(codel_drops(&c, 20 * MS, false, T, last_ns + 11 * I + 1));
	assert_int_equal(c.count, 29);
	// Much later: from the beginning.
	assert_false(codel_drops(&c, 0, false, T, last_ns + 60 * I));
	assert_false(codel_drops(&c, 20 * MS, false, T, last_ns + 60 * I + 1));
	assert_true(codel_drops(&c, 20 * MS, false, T, last_ns + 61 * I + 1));
	assert_int_equal(c.count, 1);
}

static void
packet_that_waited_for_an_interval_goes(void **state)
{
	struct codel c = {0};

	(void)state;
	assert_false(codel_drops(&c, I, false, T, 1));
	assert_true(codel_drops(&c, I + 1, false, T, 1));
	assert_false(codel_drops(&c, I + 1, true, T, 1));
	assert_false(codel_drops(&c, I + 3 * T, false, 4 * T, 1)); // grows with the target
	assert_true(codel_drops(&c, I + 3 * T + 1, false, 4 * T, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(target_is_two_frames_of_a_slow_link),
		cmocka_unit_test(short_waits_and_a_burst_lose_nothing),
		cmocka_unit_test(last_packet_is_never_dropped),
		cmocka_unit_test(drops_come_faster_until_the_wait_is_short),
		cmocka_unit_test(packet_that_waited_for_an_interval_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
