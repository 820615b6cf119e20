// Where MACs are learned, which port has them, and when they are forgotten.
#include "dp_fixture.h"

#include <stdio.h>
#include <string.h>

static unsigned gone = N_GUESTS; // guest that is not plugged in

static void
take_out(unsigned i)
{
	unplug(i);
	gone = i;
}

static void
put_back(unsigned i)
{
	gone = N_GUESTS;
	plug(i, 0, 0);
}

static void
expect_at_others(unsigned from, unsigned len)
{
	for (unsigned i = 0; i < N_GUESTS; i++)
		if (i != from && i != gone)
			expect_frame(i, len);
}

// A broadcast of guest `from` with the MAC of guest `of`.
static void
speak(unsigned from, unsigned of, unsigned len)
{
	send_mbuf(from, make_frame(of, BROADCAST, 0, len));
	expect_at_others(from, len);
}

// DP_MAX_PORTS: nowhere.
static unsigned
place_of(unsigned i)
{
	struct mac mac = guest_mac(i);
	struct dp_mac macs[16];
	uint32_t pos = 0;
	unsigned n = dp_mac_list(dp, bridge, &pos, macs, 16);

	for (unsigned k = 0; k < n; k++)
		if (!memcmp(&macs[k].mac, &mac, sizeof(mac)))
			return macs[k].port;
	return DP_MAX_PORTS;
}

static void
wait_forgotten(unsigned i)
{
	uint64_t end = wait_limit();
	struct dp_event ignored;

	while (place_of(i) != DP_MAX_PORTS && rte_rdtsc() < end) {
		dp_housekeeping(dp);
		while (dp_event_next(dp, &ignored))
			;
	}
	assert_int_equal(place_of(i), DP_MAX_PORTS);
}

static void
port_whose_link_goes_down_forgets_its_macs(void **state)
{
	struct mac fixed = guest_mac(7);
	char err[DP_ERR_SIZE];

	(void)state;
	plain_guests();
	assert_int_equal(dp_mac_add(dp, bridge, &fixed, 0, guest[1].port, err), 0);
	for (unsigned i = 0; i < 3; i++) { // soon one after another
		speak(1, 1, 60);
		speak(1, 8, 61);
		speak(2, 2, 62);
		assert_int_equal(dp_port_n_macs(dp, guest[1].port), 2);
		take_out(1);
		wait_forgotten(1);
		assert_int_equal(place_of(8), DP_MAX_PORTS);
		assert_int_equal(place_of(2), guest[2].port);
		assert_int_equal(place_of(7), guest[1].port);
		assert_int_equal(dp_port_n_macs(dp, guest[1].port), 0);
		assert_int_equal(dp_port_n_macs(dp, guest[2].port), 1);
		// Frames to it find it at its present port.
		send_frame(0, 1, 0, 63);
		expect_frame(2, 63);
		put_back(1);
	}
}

static void
allowed_mac_is_not_learned_elsewhere(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[0].allowed_macs.n = 2;
	cfgs[0].allowed_macs.mac[0] = guest_mac(8);
	cfgs[0].allowed_macs.mac[1] = guest_mac(0);
	add_guests(cfgs);
	speak(0, 0, 60);
	for (unsigned i = 1; i <= 3; i++) { // reflected
		send_mbuf(2, make_frame(0, BROADCAST, 0, 70));
		wait_drops(2, DROP_MAC_STATIC, i);
	}
	// Also when it is not known where the port's guest is.
	send_mbuf(2, make_frame(8, BROADCAST, 0, 70));
	wait_drops(2, DROP_MAC_STATIC, 4);
	assert_int_equal(place_of(8), DP_MAX_PORTS);
	assert_int_equal(place_of(0), guest[0].port);
	assert_int_equal(dp_bridge_n_moves(dp, bridge), 0);
	send_frame(1, 0, 0, 64);
	expect_frame(0, 64);
	// Others are.
	speak(2, 9, 65);
	assert_int_equal(place_of(9), guest[2].port);
	// And this one when its port says so no more.
	cfgs[0].allowed_macs.n = 0;
	set_port(0, &cfgs[0]);
	speak(2, 0, 66);
	assert_int_equal(place_of(0), guest[2].port);
}

static void
mac_in_the_lists_of_two_ports_moves_between_them(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		cfgs[i].allowed_macs.n = 1;
		cfgs[i].allowed_macs.mac[0] = guest_mac(9);
	}
	add_guests(cfgs);
	for (unsigned i = 0; i < 4; i++) {
		speak(i % 2, 9, 60 + i);
		assert_int_equal(place_of(9), guest[i % 2].port);
		assert_int_equal(dp_bridge_n_moves(dp, bridge), i);
	}
	send_mbuf(2, make_frame(9, BROADCAST, 0, 71));
	wait_drops(2, DROP_MAC_STATIC, 1);
}

// A guest in another VLAN has its own network, and may use any MAC there.
static void
allowed_mac_is_its_ports_in_the_vlans_of_the_port_alone(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[0].allowed_macs.n = 1;
	cfgs[0].allowed_macs.mac[0] = guest_mac(9);
	cfgs[0].vlan = 10;
	cfgs[1].vlan = cfgs[2].vlan = 20;
	add_guests(cfgs);
	send_mbuf(2, make_frame(9, BROADCAST, 0, 60));
	expect_frame(1, 60);
	assert_int_equal(place_of(9), guest[2].port);
	cfgs[0].vlan_mode = DP_VLAN_TRUNK; // which carries VLAN 20, too
	set_port(0, &cfgs[0]);
	send_mbuf(1, make_frame(9, BROADCAST, 0, 61));
	wait_drops(1, DROP_MAC_STATIC, 1);
}

static void
floating_mac_is_no_ports(void **state)
{
	static const struct {
		struct mac mac;
		bool is_floating;
	} cases[] = {
		{{{0, 0, 0x5e, 0, 0x01, 0}}, true},
		{{{0, 0, 0x5e, 0, 0x01, 0xff}}, true},
		{{{0, 0, 0x5e, 0, 0x02, 0}}, true},
		{{{0, 0, 0x5e, 0, 0x02, 0xff}}, true},
		{{{0, 0, 0x5e, 0, 0x00, 0xff}}, false},
		{{{0, 0, 0x5e, 0, 0x03, 0}}, false},
		{{{2, 0, 0x5e, 0, 0x01, 0}}, false},
	};
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	uint64_t n_drops = 0;

	(void)state;
	cfgs[0].allowed_macs.n = RTE_DIM(cases);
	for (unsigned i = 0; i < RTE_DIM(cases); i++)
		cfgs[0].allowed_macs.mac[i] = cases[i].mac;
	add_guests(cfgs);
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		struct rte_mbuf *m = make_frame(2, BROADCAST, 0, 60 + i);

		memcpy(rte_pktmbuf_mtod_offset(m, void *, 6), &cases[i].mac, 6);
		send_mbuf(2, m);
		if (cases[i].is_floating)
			expect_at_others(2, 60 + i);
		else
			wait_drops(2, DROP_MAC_STATIC, ++n_drops);
	}
}

// As a guest that has moved to another host: its frames come from a tunnel.
static void
allowed_mac_of_a_port_that_is_down_may_be_elsewhere(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[0].allowed_macs.n = 1;
	cfgs[0].allowed_macs.mac[0] = guest_mac(0);
	add_guests(cfgs);
	speak(0, 0, 60);
	take_out(0);
	wait_forgotten(0);
	speak(2, 0, 61);
	assert_int_equal(place_of(0), guest[2].port);
	put_back(0);
	speak(0, 0, 62);
	assert_int_equal(place_of(0), guest[0].port);
	send_mbuf(2, make_frame(0, BROADCAST, 0, 63));
	wait_drops(2, DROP_MAC_STATIC, 1);
}

static bool
moves_are_told(void)
{
	uint64_t end = wait_limit();
	struct dp_event event;

	dp_housekeeping(dp);
	while (rte_rdtsc() < end && dp_event_next(dp, &event))
		if (event.type == DP_EVENT_MAC_MOVES && event.bridge == bridge && event.value)
			return true;
	return false;
}

static void
more_moves_than_allowed_are_told(void **state)
{
	struct dp_bridge_cfg cfg = {.name = "br0", .mac_limit = 64, .mac_age_ns = UINT64_C(300000000000)};
	char err[DP_ERR_SIZE];

	(void)state;
	plain_guests();
	for (unsigned limit = 0; limit < 2; limit++) {
		cfg.mac_moves = limit;
		assert_int_equal(dp_bridge_set(dp, bridge, &cfg, err), 0);
		(void)moves_are_told();
		// two a second would do, if a second passes meanwhile
		for (unsigned i = 0; i < 300; i++)
			speak(i % 2, 9, 60 + i % 40);
		assert_int_equal(moves_are_told(), limit);
	}
	assert_true(dp_bridge_n_moves(dp, bridge) >= 598);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(port_whose_link_goes_down_forgets_its_macs),
		WITH_BRIDGE(allowed_mac_is_not_learned_elsewhere),
		WITH_BRIDGE(mac_in_the_lists_of_two_ports_moves_between_them),
		WITH_BRIDGE(allowed_mac_is_its_ports_in_the_vlans_of_the_port_alone),
		WITH_BRIDGE(floating_mac_is_no_ports),
		WITH_BRIDGE(allowed_mac_of_a_port_that_is_down_may_be_elsewhere),
		WITH_BRIDGE(more_moves_than_allowed_are_told),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/bridge", tests, fixture_start, fixture_stop);
}
