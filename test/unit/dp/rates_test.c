// What ports are limited to and guaranteed, in the datapath: rates and bursts are those of the port, whatever its frames get on
// their way out and whichever of its queues they come from.
#include "dp_fixture.h"

#include <rte_cycles.h>

#include <stdlib.h>

#define SECOND UINT64_C(1000000000)

static struct dp_flow
flow_of(unsigned egress, unsigned from)
{
	struct dp_flow f;
	uint32_t pos = 0;

	while (dp_flow_list(dp, guest[egress].port, &pos, &f, 1))
		if (f.port == guest[from].port)
			return f;
	return (struct dp_flow){.port = DP_MAX_PORTS};
}

// A frame of the sender's MTU that gets a tag, within a burst of one frame; one more is surplus.
static void
burst_of_one_frame_is_guaranteed_behind_a_tag(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_flow flow;
	uint64_t begin;

	(void)state;
	cfgs[0].vlan = 5;
	cfgs[0].min_rate_bps = DP_RATE_MIN; // a frame in 1.5 s
	cfgs[0].burst_bytes = 1514;
	cfgs[0].deadline_ns = 1000000000;
	cfgs[1].vlan_mode = DP_VLAN_TRUNK;
	cfgs[1].rate_bps = 1000000000;
	add_guests(cfgs);
	begin = rte_rdtsc();
	send_frame(0, 1, 0, 1514);
	expect_frame(1, 1518);
	assert_int_equal(flow_of(1, 0).guaranteed_pkts, 1);
	send_frame(0, 1, 0, 1514);
	expect_frame(1, 1518);
	flow = flow_of(1, 0);
	assert_int_equal(flow.guaranteed_pkts + flow.surplus_pkts, 2);
	assert_true(flow.guaranteed_bytes <= 1518 + ns_since(begin) * (DP_RATE_MIN / 8) / SECOND);
	assert_conserved();
}

// Of a port with two queues, which two workers poll when there are two, the guest uses one.
static void
flood_rate_is_the_ports_however_many_queues_it_uses(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	uint64_t passed, begin;

	(void)state;
	cfgs[0].n_queues = 2;
	cfgs[0].flood_pps = 20; // and 3 at once
	add_guests(cfgs);
	begin = rte_rdtsc();
	for (unsigned i = 0; i < 60; i++)
		send_frame(0, BROADCAST, 0, 60);
	send_frame(0, 0, 0, 60); // behind them: to itself
	wait_drops(0, DROP_SAME_PORT, 1);
	passed = 60 - drops_of(0, DROP_FLOOD_LIMIT);
	assert_in_range(passed, 3, 3 + 20 * ns_since(begin) / SECOND + 1);
	for (unsigned i = 0; i < passed; i++)
		expect_frame(1, 60);
	assert_conserved();
}

// The longest that a guest sends, in many buffers. Nobody receives it, but it was taken from the guest.
static void
send_longest(unsigned from)
{
	struct rte_mbuf *m = make_frame(from, 1, 0, 4000);

	while (m->pkt_len < 64000)
		assert_int_equal(rte_pktmbuf_chain(m, make_frame(from, 1, 0, 4000)), 0);
	send_mbuf(from, m);
}

// A frame at the old rate is paid for in more than a minute; the next one waits in the ring while the rate changes.
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
		WITH_BRIDGE(flood_rate_is_the_ports_however_many_queues_it_uses),
		WITH_BRIDGE(what_was_owed_at_an_old_max_rate_is_forgiven),
		WITH_BRIDGE(burst_of_one_frame_is_guaranteed_behind_a_tag),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("rates", tests, fixture_start, fixture_stop);
}
