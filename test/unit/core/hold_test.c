// Holds under virtual time: their beginning, and that each ends.
#include "../unit.h"
#include "rtvs/hold.h"

#define LIMIT 100
#define BEGIN_NS 1000

static void
begins_at_half_and_ends_at_a_quarter(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_false(hold_queued(&h, LIMIT / 2 - 1, LIMIT, 0, BEGIN_NS));
	assert_true(hold_queued(&h, LIMIT / 2, LIMIT, 0, BEGIN_NS));
	assert_int_equal(h.since_ns, BEGIN_NS);
	assert_false(hold_left(&h, 1, LIMIT / 4 + 1, LIMIT, BEGIN_NS));
	assert_true(hold_left(&h, 1, LIMIT / 4, LIMIT, BEGIN_NS));
	assert_false(hold_left(&h, 1, LIMIT / 4 - 1, LIMIT, BEGIN_NS));
	assert_true(hold_queued(&h, LIMIT / 2, LIMIT, 0, BEGIN_NS + 1));
}

static void
lasts_no_longer_than_its_bound(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_true(hold_queued(&h, LIMIT / 2, LIMIT, 0, BEGIN_NS));
	assert_true(hold_queued(&h, LIMIT / 2 + 1, LIMIT, 0, BEGIN_NS + HOLD_MAX_NS - 1));
	assert_int_equal(h.since_ns, BEGIN_NS); // told again, not begun again
	assert_false(hold_queued(&h, LIMIT / 2 + 1, LIMIT, 0, BEGIN_NS + HOLD_MAX_NS));
	// The device is slow, until the queue has fallen to a quarter.
	assert_false(hold_queued(&h, LIMIT, LIMIT, 0, BEGIN_NS + 2 * HOLD_MAX_NS));
	assert_false(hold_left(&h, 1, LIMIT / 4 + 1, LIMIT, BEGIN_NS + 2 * HOLD_MAX_NS));
	assert_false(hold_queued(&h, LIMIT, LIMIT, 0, BEGIN_NS + 3 * HOLD_MAX_NS));
	assert_false(hold_left(&h, 1, LIMIT / 4, LIMIT, BEGIN_NS + 3 * HOLD_MAX_NS));
	assert_true(hold_queued(&h, LIMIT / 2, LIMIT, 0, BEGIN_NS + 3 * HOLD_MAX_NS));
}

// A full queue, of which n leave by the time: the next hold begins at once, or never.
static void
device_is_slow_below_a_quarter_in_the_bound(void **state)
{
	static const struct {
		uint32_t n;
		uint64_t after_ns;
		bool is_slow;
	} cases[] = {{LIMIT / 4, HOLD_MAX_NS - 1, false}, {LIMIT / 4 - 1, HOLD_MAX_NS - 1, true},
		{LIMIT / 4, HOLD_MAX_NS, true}};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hold h = {0};

		assert_true(hold_queued(&h, LIMIT, LIMIT, 0, BEGIN_NS));
		assert_false(hold_left(&h, cases[i].n, LIMIT - cases[i].n, LIMIT, BEGIN_NS + cases[i].after_ns));
		assert_false(hold_queued(&h, LIMIT - 1, LIMIT, 0, BEGIN_NS + HOLD_MAX_NS));
		assert_int_equal(hold_queued(&h, LIMIT, LIMIT, 0, BEGIN_NS + HOLD_MAX_NS), !cases[i].is_slow);
	}
}

// The sender keeps the queue full all the time.
static void
slow_device_is_slow_no_more_when_a_quarter_leaves_in_time(void **state)
{
	uint64_t now_ns = BEGIN_NS;
	struct hold h = {0};

	(void)state;
	assert_true(hold_queued(&h, LIMIT, LIMIT, 0, now_ns));
	assert_true(hold_end(&h, now_ns));
	for (unsigned i = 0; i < 10 * LIMIT; i++) { // one less than a quarter each time
		now_ns += HOLD_MAX_NS / (LIMIT / 4 - 1) + 1;
		assert_false(hold_left(&h, 1, LIMIT - 1, LIMIT, now_ns));
		assert_false(hold_queued(&h, LIMIT, LIMIT, 0, now_ns));
	}
	for (unsigned i = 0; i < LIMIT / 2 && !h.since_ns; i++) {
		now_ns += HOLD_MAX_NS / (LIMIT / 4 + 1);
		assert_false(hold_left(&h, 1, LIMIT - 1, LIMIT, now_ns));
		(void)hold_queued(&h, LIMIT, LIMIT, 0, now_ns);
	}
	assert_int_equal(h.since_ns, now_ns);
}

static void
ends_early_and_the_device_is_slow(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_false(hold_end(&h, BEGIN_NS));
	assert_true(hold_queued(&h, LIMIT / 2, LIMIT, 0, BEGIN_NS));
	assert_true(hold_end(&h, BEGIN_NS));
	assert_false(hold_end(&h, BEGIN_NS));
	assert_false(hold_queued(&h, LIMIT, LIMIT, 0, BEGIN_NS));
}

static void
stuck_device_holds_nobody(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_false(hold_queued(&h, LIMIT, LIMIT, HOLD_STUCK_NS, BEGIN_NS));
	assert_true(hold_queued(&h, LIMIT, LIMIT, HOLD_STUCK_NS - 1, BEGIN_NS));
	assert_false(hold_queued(&h, LIMIT, LIMIT, HOLD_STUCK_NS, BEGIN_NS + 1));
	assert_false(hold_queued(&h, LIMIT, LIMIT, 0, BEGIN_NS + 2));
}

#define PAUSE_US UINT64_C(150000)
#define BURST (LIMIT / 4) // packets are read at once

// A sender sends to a link as fast as it can: a burst is read each us unless it is held. One packet
// leaves the link each `us`, but none from 1 s on for pause_us. Returns whether packets are lost
// after 1.5 s.
static bool
loses_packets(uint64_t us, uint64_t pause_us)
{
	uint64_t until_ns = 0, n_lost = 0, last_left_us = 0;
	struct hold h = {0};
	uint32_t n = 0;

	for (uint64_t t = 1; t < 2500000; t++) {
		uint64_t now_ns = t * 1000;

		for (unsigned i = 0; now_ns >= until_ns && i < BURST; i++) {
			n_lost += n == LIMIT && t > 1500000;
			n += n < LIMIT;
			if (hold_queued(&h, n, LIMIT, 0, now_ns) && i == BURST - 1)
				until_ns = h.since_ns + HOLD_MAX_NS;
			assert_true(until_ns <= now_ns + HOLD_MAX_NS);
		}
		if (t - last_left_us < us || t - 1000000 < pause_us)
			continue;
		assert_true(n > 0);
		last_left_us = t;
		if (hold_left(&h, 1, --n, LIMIT, now_ns))
			until_ns = 0;
	}
	return n_lost;
}

// At any rate of the link no hold is longer than the bound, and the link is never idle. Packets are
// lost only where the link needs longer for a quarter of the queue.
static void
holds_are_bounded_at_any_rate(void **state)
{
	const uint64_t us[] = {1, 2, 10, 1000, 3500, 5000, 100000};

	(void)state;
	for (unsigned i = 0; i < sizeof(us) / sizeof(us[0]); i++)
		assert_int_equal(loses_packets(us[i], 0), LIMIT / 4 * us[i] * 1000 > HOLD_MAX_NS);
}

// It sends nothing for longer than a hold, once: others had it, or the worker had no core.
static void
link_that_pauses_holds_again(void **state)
{
	const uint64_t us[] = {10, 1000, 3000};

	(void)state;
	for (unsigned i = 0; i < sizeof(us) / sizeof(us[0]); i++)
		assert_false(loses_packets(us[i], PAUSE_US));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_at_half_and_ends_at_a_quarter),
		cmocka_unit_test(lasts_no_longer_than_its_bound),
		cmocka_unit_test(device_is_slow_below_a_quarter_in_the_bound),
		cmocka_unit_test(slow_device_is_slow_no_more_when_a_quarter_leaves_in_time),
		cmocka_unit_test(ends_early_and_the_device_is_slow),
		cmocka_unit_test(stuck_device_holds_nobody),
		cmocka_unit_test(holds_are_bounded_at_any_rate),
		cmocka_unit_test(link_that_pauses_holds_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
