// Packets that wait at a port, the order in which they leave, and guarantees.
#include "dp_fixture.h"

#include <string.h>

#define SECOND UINT64_C(1000000000)
#define RT_DEADLINE_NS UINT64_C(1000000000)

// Guest 2 gets a frame of 1,000 bytes a second: so slowly that a test without its processor is
// still ahead of it.
static void
slow_uplink(struct dp_port_cfg cfgs[N_GUESTS])
{
	for (unsigned i = 0; i < N_GUESTS; i++)
		cfgs[i] = port_cfg(i);
	cfgs[1].deadline_ns = RT_DEADLINE_NS;
	cfgs[1].min_rate_bps = 50000;
	cfgs[1].burst_bytes = 3000;
	cfgs[2].link_rate_bps = DP_RATE_MIN;
}

static struct dp_sender
flow_of(unsigned egress, unsigned from)
{
	struct dp_sender f;
	uint32_t pos = 0;

	while (dp_sender_list(dp, guest[egress].port, &pos, &f, 1))
		if (f.port == guest[from].port)
			return f;
	return (struct dp_sender){.port = DP_MAX_PORTS};
}

// Which guest a frame came from.
static unsigned
sender_of(struct rte_mbuf *m)
{
	for (unsigned i = 0; i < N_GUESTS; i++)
		if (!memcmp(rte_pktmbuf_mtod_offset(m, uint8_t *, 6), guest_mac(i).b, 6))
			return i;
	return N_GUESTS;
}

static void
deadline_overtakes_what_has_none(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS];
	unsigned n_before = 0;
	struct rte_mbuf *m;

	(void)state;
	slow_uplink(cfgs);
	add_guests(cfgs);
	for (unsigned i = 0; i < 20; i++)
		send_frame(0, 2, 0, 1000);
	send_frame(1, 2, 0, 1000);
	for (;; n_before++) {
		m = receive(2);
		if (sender_of(m) == 1)
			break;
		rte_pktmbuf_free(m);
	}
	rte_pktmbuf_free(m);
	assert_true(n_before < 15);
	assert_int_equal(flow_of(2, 1).guaranteed_pkts, 1);
	assert_int_equal(flow_of(2, 1).delay.count, 1);
	assert_int_equal(flow_of(2, 0).guaranteed_pkts, 0);
	assert_true(flow_of(2, 0).n_queued > 0);
	assert_conserved();
}

static void
packets_past_their_deadline_are_dropped_where_asked(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS];

	(void)state;
	slow_uplink(cfgs);
	cfgs[1].deadline_ns = 10000000;
	cfgs[1].burst_bytes = 10000;
	cfgs[1].late = DP_LATE_DROP;
	add_guests(cfgs);
	for (unsigned i = 0; i < 5; i++)
		send_frame(1, 2, 0, 1000);
	wait_drops(2, DROP_LATE, 4); // the first one kept the link for a second
	expect_frame(2, 1000);
	assert_int_equal(flow_of(2, 1).late_pkts, 4);
	assert_conserved();
}

static void
feedback_changes_the_deadline_of_what_waits(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS];

	(void)state;
	slow_uplink(cfgs);
	cfgs[1].deadline_ns = DP_DEADLINE_MAX_NS;
	cfgs[1].burst_bytes = 10000;
	cfgs[1].late = DP_LATE_DROP;
	add_guests(cfgs);
	for (unsigned i = 0; i < 5; i++)
		send_frame(1, 2, 0, 1000);
	expect_frame(2, 1000); // it keeps the link for a second
	assert_int_equal(dp_port_set_answer(dp, guest[1].port, 10000000, DSCP_KEEP, DSCP_KEEP), 0);
	send_frame(1, 2, 0, 1000); // the scheduler hears of it with the sender's next packet
	wait_drops(2, DROP_LATE, 5);
	assert_int_equal(flow_of(2, 1).late_pkts, 5);
	assert_conserved();
}

static void
slow_receiver_costs_its_senders_packets_and_nobody_else(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[0].queue = DP_QUEUE_MIN;
	cfgs[1].deadline_ns = RT_DEADLINE_NS;
	add_guests(cfgs);
	send_frame(2, BROADCAST, 0, 60); // it is known: nothing is flooded
	expect_frame(0, 60);
	expect_frame(1, 60);
	// 256 in its ring, a burst in hand, 64 in the queue, and more.
	for (unsigned i = 0; i < 500; i++)
		send_frame(0, 2, 0, 100);
	for (uint64_t end = wait_limit(); rte_rdtsc() < end;)
		if (drops_of(2, DROP_QUEUE_FULL) >= 500 - 256 - 32 - DP_QUEUE_MIN)
			break;
	assert_true(drops_of(2, DROP_QUEUE_FULL) >= 500 - 256 - 32 - DP_QUEUE_MIN);
	send_frame(0, 1, 0, 60);
	expect_frame(1, 60);
	assert_conserved();
}

static void
guest_that_leaves_takes_its_queue_along(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS];

	(void)state;
	slow_uplink(cfgs);
	add_guests(cfgs);
	for (unsigned i = 0; i < 40; i++)
		send_frame(0, 2, 0, 1000);
	for (uint64_t end = wait_limit(); rte_rdtsc() < end && flow_of(2, 0).n_queued < 20;)
		;
	unplug(2);
	wait_link(guest[2].port, false);
	for (uint64_t end = wait_limit(); rte_rdtsc() < end && flow_of(2, 0).n_queued;)
		;
	assert_int_equal(flow_of(2, 0).n_queued, 0);
	assert_true(drops_of(2, DROP_LINK_DOWN) >= 20);
	assert_conserved();
}

static void
port_with_a_number_used_before_has_no_history(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS];
	unsigned number;

	(void)state;
	slow_uplink(cfgs);
	cfgs[2].link_rate_bps = 100000000;
	add_guests(cfgs);
	send_frame(1, 2, 0, 200);
	expect_frame(2, 200);
	assert_int_equal(flow_of(2, 1).guaranteed_pkts, 1);
	number = guest[1].port;
	unplug(1);
	assert_int_equal(dp_port_del(dp, number), 0);
	add_port(1, &cfgs[1]);
	plug(1, 0, 0);
	assert_int_equal(guest[1].port, number);
	send_frame(0, 2, 0, 200); // a turn of the worker with the new configuration
	expect_frame(2, 200);
	assert_int_equal(flow_of(2, 1).guaranteed_pkts, 0);
	assert_int_equal(flow_of(2, 1).delay.count, 0);
	assert_conserved();
}

static void
changes_of_deadlines_and_rates_lose_nothing(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS];
	char err[DP_ERR_SIZE];

	(void)state;
	slow_uplink(cfgs);
	cfgs[2].link_rate_bps = 100000000;
	add_guests(cfgs);
	for (unsigned i = 0; i < 1000; i++) {
		cfgs[1].deadline_ns = 1000000 + i * 1000;
		cfgs[1].min_rate_bps = i % 3 ? 1000000 + i : 0;
		cfgs[2].link_rate_bps = i % 2 ? 100000000 : 50000000;
		send_frame(i % 2, 2, 0, 200);
		assert_int_equal(dp_port_set(dp, guest[1].port, &cfgs[1], err), 0);
		assert_int_equal(dp_port_set(dp, guest[2].port, &cfgs[2], err), 0);
		expect_frame(2, 200);
	}
	assert_conserved();
}

// A frame of the sender's MTU that gets a tag, within a burst of one frame; one more is surplus.
static void
burst_of_one_frame_is_guaranteed_behind_a_tag(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_sender flow;
	uint64_t begin;

	(void)state;
	cfgs[0].vlan = 5;
	cfgs[0].min_rate_bps = DP_RATE_MIN; // a frame in 1.5 s
	cfgs[0].burst_bytes = 1514;
	cfgs[0].deadline_ns = 1000000000;
	cfgs[1].vlan_mode = DP_VLAN_TRUNK;
	cfgs[1].link_rate_bps = 1000000000;
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

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(deadline_overtakes_what_has_none),
		WITH_BRIDGE(packets_past_their_deadline_are_dropped_where_asked),
		WITH_BRIDGE(feedback_changes_the_deadline_of_what_waits),
		WITH_BRIDGE(slow_receiver_costs_its_senders_packets_and_nobody_else),
		WITH_BRIDGE(guest_that_leaves_takes_its_queue_along),
		WITH_BRIDGE(port_with_a_number_used_before_has_no_history),
		WITH_BRIDGE(changes_of_deadlines_and_rates_lose_nothing),
		WITH_BRIDGE(burst_of_one_frame_is_guaranteed_behind_a_tag),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/schedule", tests, fixture_start, fixture_stop);
}
