// The life of ports under traffic.
#include "dp_fixture.h"

#include <string.h>

static void
port_that_is_down_takes_and_gives_nothing_until_it_is_up(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	char err[DP_ERR_SIZE];

	(void)state;
	add_guests(cfgs);
	cfgs[1].admin_up = false;
	assert_int_equal(dp_port_set(dp, guest[1].port, &cfgs[1], err), 0);
	wait_link(guest[1].port, false);
	send_frame(0, BROADCAST, 0, 60);
	expect_frame(2, 60);
	unplug(1);
	cfgs[1].admin_up = true;
	assert_int_equal(dp_port_set(dp, guest[1].port, &cfgs[1], err), 0);
	plug(1, 0, 0);
	send_frame(0, BROADCAST, 0, 61);
	expect_frame(1, 61);
}

static void
packets_are_accounted_for_while_ports_come_and_go(void **state)
{
	struct dp_port_cfg cfg = port_cfg(2);

	(void)state;
	plain_guests();
	for (unsigned i = 0; i < 40; i++) {
		for (unsigned k = 0; k < 50; k++)
			send_frame(k % 2, k % 5 ? 1 - k % 2 : BROADCAST, 0, 60 + k);
		if (i % 4 == 1)
			assert_int_equal(dp_port_del(dp, guest[2].port), 0);
		if (i % 4 == 3)
			add_port(2, &cfg);
		assert_conserved();
		for (unsigned k = 0; k < 2; k++) {
			struct rte_mbuf *m[64];
			uint16_t n = rte_eth_rx_burst(guest[k].dev, 0, m, 64);

			rte_pktmbuf_free_bulk(m, n);
		}
	}
}

// The longest frame of a guest, in many buffers. No port receives it, but it was taken from the
// guest.
static void
send_longest(unsigned from)
{
	struct rte_mbuf *m = make_frame(from, 1, 0, 4000);

	while (m->pkt_len < 64000)
		assert_int_equal(rte_pktmbuf_chain(m, make_frame(from, 1, 0, 4000)), 0);
	send_mbuf(from, m);
}

// A frame at the old rate is paid for in more than a minute; the next one waits in the ring while
// the rate changes.
static void
what_was_owed_at_an_old_max_rate_is_forgiven(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_system_cfg busy = system_cfg(DSCP_DEFAULT), idle = busy;
	char err[DP_ERR_SIZE] = "";

	(void)state;
	busy.idle = DP_IDLE_BUSY; // workers ask at every moment
	assert_int_equal(dp_system_set(dp, &busy, err), 0);
	cfgs[0].max_rate_bps = DP_RATE_MIN;
	add_guests(cfgs);
	for (unsigned i = 0; i < 10; i++)
		send_longest(0);
	cfgs[0].max_rate_bps = UINT64_C(1000000000);
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_frame(0, 1, 0, 60);
	expect_frame(1, 60);
	assert_int_equal(dp_system_set(dp, &idle, err), 0);
	assert_conserved();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(port_that_is_down_takes_and_gives_nothing_until_it_is_up),
		WITH_BRIDGE(packets_are_accounted_for_while_ports_come_and_go),
		WITH_BRIDGE(what_was_owed_at_an_old_max_rate_is_forgiven),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/port", tests, fixture_start, fixture_stop);
}
