// Holds under virtual time: when they begin, and that each ends.
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
	assert_false(hold_left(&h, LIMIT / 4 + 1, LIMIT));
	assert_true(hold_left(&h, LIMIT / 4, LIMIT));
	assert_false(hold_left(&h, LIMIT / 4 - 1, LIMIT));
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
	// It is spent, until the queue has fallen to a quarter.
	assert_false(hold_queued(&h, LIMIT, LIMIT, 0, BEGIN_NS + 2 * HOLD_MAX_NS));
	assert_false(hold_left(&h, LIMIT / 4 + 1, LIMIT));
	assert_false(hold_queued(&h, LIMIT, LIMIT, 0, BEGIN_NS + 3 * HOLD_MAX_NS));
	assert_false(hold_left(&h, LIMIT / 4, LIMIT));
	assert_true(hold_queued(&h, LIMIT / 2, LIMIT, 0, BEGIN_NS + 3 * HOLD_MAX_NS));
}

static void
ends_early_and_is_spent(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_false(hold_end(&h));
	assert_true(hold_queued(&h, LIMIT / 2, LIMIT, 0, BEGIN_NS));
	assert_true(hold_end(&h));
	assert_false(hold_end(&h));
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

// A sender sends to a link as fast as it can: it is read once a us unless it is held. Whatever the link's rate is, no hold is longer
// than the bound; the link is never idle; and packets are lost only where the link needs longer for a quarter of the queue.
static void
holds_are_bounded_at_any_rate(void **state)
{
	const uint64_t us[] = {1, 2, 10, 1000, 5000, 100000}; // for a packet

	(void)state;
	for (unsigned i = 0; i < sizeof(us) / sizeof(us[0]); i++) {
		struct hold h = {0};
		uint64_t until_ns = 0, n_lost = 0, n_sent = 0, quarter_ns = LIMIT / 4 * us[i] * 1000;
		uint32_t n = 0;

		for (uint64_t t = 1; t < 2000000; t++) {
			uint64_t now_ns = t * 1000;

			if (now_ns >= until_ns) {
				n_lost += n == LIMIT;
				n += n < LIMIT;
				if (hold_queued(&h, n, LIMIT, 0, now_ns))
					until_ns = h.since_ns + HOLD_MAX_NS;
				assert_true(until_ns <= now_ns + HOLD_MAX_NS);
			}
			if (t % us[i] == 0) {
				assert_true(n > 0);
				n_sent++;
				if (hold_left(&h, --n, LIMIT))
					until_ns = 0;
			}
		}
		assert_int_equal(n_sent, 1999999 / us[i]);
		assert_int_equal(n_lost > 0, quarter_ns > HOLD_MAX_NS);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_at_half_and_ends_at_a_quarter),
		cmocka_unit_test(lasts_no_longer_than_its_bound),
		cmocka_unit_test(ends_early_and_is_spent),
		cmocka_unit_test(stuck_device_holds_nobody),
		cmocka_unit_test(holds_are_bounded_at_any_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
