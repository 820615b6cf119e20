// What ports are limited to and guaranteed, in the datapath: rates and bursts are those of the port, whatever its frames get on
// their way out and whichever of its queues they come from.
#include "dp_fixture.h"

#include <stdlib.h>

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

	(void)state;
	cfgs[0].vlan = 5;
	cfgs[0].min_rate_bps = DP_RATE_MIN; // a frame in 1.5 s
	cfgs[0].burst_bytes = 1514;
	cfgs[0].deadline_ns = 1000000000;
	cfgs[1].vlan_mode = DP_VLAN_TRUNK;
	cfgs[1].rate_bps = 1000000000;
	add_guests(cfgs);
	send_frame(0, 1, 0, 1514);
	expect_frame(1, 1518);
	assert_int_equal(flow_of(1, 0).guaranteed_pkts, 1);
	send_frame(0, 1, 0, 1514);
	expect_frame(1, 1518);
	assert_int_equal(flow_of(1, 0).surplus_pkts, 1);
	assert_conserved();
}

// Of a port with two queues, which two workers poll when there are two, the guest uses one.
static void
flood_rate_is_the_ports_however_many_queues_it_uses(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	uint64_t passed;

	(void)state;
	cfgs[0].n_queues = 2;
	cfgs[0].flood_pps = 20; // and 3 at once
	add_guests(cfgs);
	for (unsigned i = 0; i < 60; i++)
		send_frame(0, BROADCAST, 0, 60);
	send_frame(0, 0, 0, 60); // behind them: to itself
	wait_drops(0, DROP_SAME_PORT, 1);
	passed = 60 - drops_of(0, DROP_FLOOD_LIMIT);
	assert_true(passed >= 3);
	for (unsigned i = 0; i < passed; i++)
		expect_frame(1, 60);
	assert_true(passed < 60);
	assert_conserved();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(flood_rate_is_the_ports_however_many_queues_it_uses),
		WITH_BRIDGE(burst_of_one_frame_is_guaranteed_behind_a_tag),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("rates", tests, fixture_start, fixture_stop);
}
