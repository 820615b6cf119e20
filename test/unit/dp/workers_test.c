// Halted workers make no turn, ports keep what comes for them, and nothing is lost by it.
#include "dp_fixture.h"

#define N_FRAMES 32
#define N_HALTS 200

static uint64_t
n_turns(void)
{
	struct dp_worker_stats stats;
	uint64_t n = 0;

	for (unsigned i = 0; i < dp_n_workers(dp); i++) {
		assert_int_equal(dp_worker_stats(dp, i, &stats), 0);
		n += stats.turns;
	}
	return n;
}

static void
halted_workers_make_no_turn_and_go_on(void **state)
{
	struct rte_mbuf *m;
	uint64_t turns;

	(void)state;
	plain_guests();
	send_frame(0, 1, 0, 100);
	expect_frame(1, 100);
	dp_halt(dp);
	turns = n_turns();
	for (unsigned i = 0; i < N_FRAMES; i++)
		send_frame(0, 1, 0, 100 + i);
	assert_int_equal(rte_eth_rx_burst(guest[1].dev, 0, &m, 1), 0);
	assert_int_equal(n_turns(), turns);
	assert_int_equal(dp_resume(dp), 0);
	for (unsigned i = 0; i < N_FRAMES; i++)
		expect_frame(1, 100 + i);
	assert_true(n_turns() > turns);
}

static void
nothing_is_lost_at_halts_under_traffic(void **state)
{
	unsigned n_sent = 0;

	(void)state;
	plain_guests();
	for (unsigned i = 0; i < N_HALTS; i++) {
		unsigned n = i % N_FRAMES + 1;

		for (unsigned k = 0; k < n; k++)
			send_frame(0, 1, 0, 64 + k);
		dp_halt(dp);
		send_frame(0, 1, 0, 64 + n);
		assert_int_equal(dp_resume(dp), 0);
		for (unsigned k = 0; k <= n; k++)
			expect_frame(1, 64 + k);
		n_sent += n + 1;
	}
	refresh_stats();
	assert_int_equal(stats_of(1).tx_pkts, n_sent);
	assert_conserved();
}

// As the control thread of a process that is about to take over does.
static void
ports_change_while_workers_are_halted(void **state)
{
	(void)state;
	dp_halt(dp);
	plain_guests();
	send_frame(0, 1, 0, 100);
	assert_int_equal(dp_resume(dp), 0);
	expect_frame(1, 100);
	dp_halt(dp);
	unplug(2);
	assert_int_equal(dp_port_del(dp, guest[2].port), 0);
	guest[2].port = DP_MAX_PORTS;
	assert_int_equal(dp_resume(dp), 0);
	send_frame(0, 1, 0, 100);
	expect_frame(1, 100);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(halted_workers_make_no_turn_and_go_on),
		WITH_BRIDGE(nothing_is_lost_at_halts_under_traffic),
		WITH_BRIDGE(ports_change_while_workers_are_halted),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
