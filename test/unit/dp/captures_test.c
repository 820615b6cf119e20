// What a capture gets.
#include "dp_fixture.h"

#include <rte_cycles.h>

#include <errno.h>

static void
capture_gets_what_its_filter_matches(void **state)
{
	struct dp_capture_pkt pkt;
	uint64_t lost, end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
	char err[DP_ERR_SIZE];

	(void)state;
	plain_guests();
	assert_int_equal(dp_capture_start(dp, guest[0].port, "no such filter", 0, err), -EINVAL);
	assert_int_equal(dp_capture_start(dp, guest[0].port, "greater 100", 64, err), 0);
	assert_int_equal(dp_capture_start(dp, guest[0].port, "", 0, err), -EBUSY);
	send_frame(0, BROADCAST, 0, 60);
	send_frame(0, BROADCAST, 0, 120);
	while (!dp_capture_next(dp, guest[0].port, &pkt))
		assert_true(rte_rdtsc() < end);
	assert_int_equal(pkt.len, 120);
	assert_int_equal(pkt.caplen, 64);
	assert_false(pkt.is_tx);
	assert_memory_equal(pkt.data + 6, guest_mac(0).b, 6);
	dp_capture_stop(dp, guest[0].port, &lost);
	assert_int_equal(lost, 0);
	expect_frame(1, 60);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(capture_gets_what_its_filter_matches),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("captures", tests, fixture_start, fixture_stop);
}
