// Where a frame goes: learning, VLANs, the guard, isolation, mirrors, limits of floods, reserved
// groups.
#include "dp_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

static void
broadcast_reaches_all_others_and_unicast_only_its_target(void **state)
{
	(void)state;
	plain_guests();
	send_frame(0, BROADCAST, 0, 60);
	expect_frame(1, 60);
	expect_frame(2, 60);
	send_frame(1, 0, 0, 61); // 0 was learned
	expect_frame(0, 61);
	send_frame(0, 1, 0, 62);
	expect_frame(1, 62);
	expect_nothing(2);
	assert_int_equal(dp_bridge_n_macs(dp, bridge), 2);
	assert_int_equal(dp_port_n_macs(dp, guest[0].port), 1);
}

static void
mac_list_shows_what_was_learned_and_flush_forgets_it(void **state)
{
	struct dp_mac macs[4];
	uint32_t pos = 0;

	(void)state;
	plain_guests();
	send_frame(0, BROADCAST, 0, 60);
	expect_frame(1, 60);
	assert_int_equal(dp_mac_list(dp, bridge, &pos, macs, 4), 1);
	assert_int_equal(macs[0].port, guest[0].port);
	assert_memory_equal(macs[0].mac.b, guest_mac(0).b, 6);
	assert_int_equal(dp_mac_flush(dp, bridge), 1);
	assert_int_equal(dp_port_n_macs(dp, guest[0].port), 0);
}

static void
frames_stay_in_their_vlan_and_trunks_see_tags(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct rte_mbuf *m;
	const uint8_t *p;

	(void)state;
	cfgs[0].vlan = 10;
	cfgs[1].vlan = 20;
	cfgs[2].vlan_mode = DP_VLAN_TRUNK;
	vlan_set_add(&cfgs[2].trunk, 10);
	add_guests(cfgs);
	send_frame(0, BROADCAST, 0, 60);
	m = receive(2);
	assert_int_equal(m->pkt_len, 64);
	p = rte_pktmbuf_mtod(m, const uint8_t *);
	assert_int_equal(p[12] << 8 | p[13], 0x8100);
	assert_int_equal((p[14] << 8 | p[15]) & 0xfff, 10);
	assert_int_equal(p[16] << 8 | p[17], 0x88b5);
	rte_pktmbuf_free(m);
	send_frame(2, 0, 10, 70);
	expect_frame(0, 66);
	expect_nothing(1);
	send_frame(2, BROADCAST, 20, 70); // not of the trunk
	wait_drops(2, DROP_VLAN_INGRESS, 1);
	send_frame(2, BROADCAST, 0, 60); // untagged, and the trunk has no VLAN for it
	wait_drops(2, DROP_VLAN_INGRESS, 2);
	send_frame(0, BROADCAST, 10, 60); // tagged on an access port
	wait_drops(0, DROP_VLAN_INGRESS, 1);
	send_frame(1, BROADCAST, 0, 60); // alone in its VLAN
	wait_drops(1, DROP_NO_TARGET, 1);
}

static void
spoofed_source_is_refused_and_an_allowed_one_passes(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[0].allowed_macs.n = 1;
	cfgs[0].allowed_macs.mac[0] = guest_mac(0);
	add_guests(cfgs);
	send_mbuf(0, make_frame(1, BROADCAST, 0, 60));
	wait_drops(0, DROP_SPOOF_MAC, 1);
	assert_int_equal(dp_bridge_n_macs(dp, bridge), 0);
	send_frame(0, BROADCAST, 0, 61);
	expect_frame(1, 61);
}

static void
isolated_ports_reach_only_others(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[0].isolated = cfgs[1].isolated = true;
	add_guests(cfgs);
	send_frame(1, BROADCAST, 0, 60);
	expect_frame(2, 60);
	send_frame(0, 1, 0, 61); // 1 was learned
	wait_drops(0, DROP_ISOLATED, 1);
	send_frame(0, BROADCAST, 0, 62);
	expect_frame(2, 62);
	expect_nothing(1);
}

static void
mirror_port_sees_both_directions_and_may_not_send(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	char err[DP_ERR_SIZE];

	(void)state;
	add_guests(cfgs);
	snprintf(cfgs[0].mirror_to, sizeof(cfgs[0].mirror_to), "p2");
	cfgs[0].mirror = DP_MIRROR_BOTH;
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_frame(0, BROADCAST, 0, 60);
	expect_frame(1, 60);
	expect_frame(2, 60);
	send_frame(1, 0, 0, 61);
	expect_frame(0, 61);
	expect_frame(2, 61);
	send_frame(2, BROADCAST, 0, 62);
	wait_drops(2, DROP_MIRROR_PORT, 1);
}

static void
port_has_its_limit_of_macs(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[0].mac_limit = 1;
	add_guests(cfgs);
	send_frame(0, BROADCAST, 0, 60);
	expect_frame(1, 60);
	send_mbuf(0, make_frame(9, BROADCAST, 0, 61));
	wait_drops(0, DROP_MAC_LIMIT, 1);
}

static void
static_mac_cannot_be_taken_by_another_port(void **state)
{
	struct mac mac = guest_mac(1);
	char err[DP_ERR_SIZE];

	(void)state;
	plain_guests();
	assert_int_equal(dp_mac_add(dp, bridge, &mac, 0, guest[1].port, err), 0);
	send_mbuf(0, make_frame(1, BROADCAST, 0, 60));
	wait_drops(0, DROP_MAC_STATIC, 1);
	send_frame(2, 1, 0, 61);
	expect_frame(1, 61);
	assert_int_equal(dp_mac_del(dp, bridge, &mac, 0), 0);
	assert_int_equal(dp_mac_del(dp, bridge, &mac, 0), -ENOENT);
}

static void
flood_above_the_rate_is_dropped(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_port_stats s;
	uint64_t end = wait_limit();

	(void)state;
	cfgs[0].flood_pps = 1;
	add_guests(cfgs);
	for (unsigned i = 0; i < 100; i++)
		send_frame(0, BROADCAST, 0, 60);
	do {
		refresh_stats();
		assert_int_equal(dp_port_stats(dp, guest[0].port, &s), 0);
	} while (s.rx_pkts < 100 && rte_rdtsc() < end);
	assert_int_equal(s.rx_pkts, 100);
	assert_true(s.drops[DROP_FLOOD_LIMIT] > 0 && s.drops[DROP_FLOOD_LIMIT] < 100);
}

// One worker polls the only queue: it has the whole rate, however many workers there are.
static void
flood_within_the_rate_passes(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_port_stats s;
	uint64_t end = wait_limit();

	(void)state;
	cfgs[0].flood_pps = 1000; // a tenth of it may come at once
	add_guests(cfgs);
	for (unsigned i = 0; i < 100; i++)
		send_frame(0, BROADCAST, 0, 60);
	do {
		refresh_stats();
		assert_int_equal(dp_port_stats(dp, guest[0].port, &s), 0);
	} while (s.rx_pkts < 100 && rte_rdtsc() < end);
	assert_int_equal(s.rx_pkts, 100);
	assert_int_equal(s.drops[DROP_FLOOD_LIMIT], 0);
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

static void
frame_to_nobody_is_flooded_as_the_first_of_its_burst(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	plain_guests();
	for (unsigned from = 0; from < N_GUESTS; from++) {
		m = make_frame(from, BROADCAST, 0, 60 + from);
		memset(rte_pktmbuf_mtod(m, void *), 0, 6);
		send_mbuf(from, m);
		for (unsigned to = 0; to < N_GUESTS; to++)
			if (to != from)
				expect_frame(to, 60 + from);
	}
}

static void
send_to_group(unsigned from, uint8_t last, unsigned len)
{
	struct rte_mbuf *m = make_frame(from, BROADCAST, 0, len);
	const uint8_t group[6] = {0x01, 0x80, 0xc2, 0, 0, last};

	memcpy(rte_pktmbuf_mtod(m, void *), group, sizeof(group));
	send_mbuf(from, m);
}

static void
reserved_groups_pass_between_ports_that_forward_them(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	uint64_t n_drops = 0;

	(void)state;
	cfgs[0].forwards_reserved = cfgs[1].forwards_reserved = true;
	add_guests(cfgs);
	for (unsigned last = 0; last < 18; last++) {
		send_to_group(0, (uint8_t)last, 60 + last);
		if (last == 1) // PAUSE
			wait_drops(0, DROP_RESERVED_MAC, 1);
		else
			expect_frame(1, 60 + last);
		if (last >= 16) // a group like others
			expect_frame(2, 60 + last);
		if (last < 16) {
			send_to_group(2, (uint8_t)last, 100);
			wait_drops(2, DROP_RESERVED_MAC, ++n_drops);
		}
	}
	cfgs[1].forwards_reserved = false;
	set_port(1, &cfgs[1]);
	send_to_group(0, 0x0e, 60);
	wait_drops(0, DROP_NO_TARGET, 1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(broadcast_reaches_all_others_and_unicast_only_its_target),
		WITH_BRIDGE(mac_list_shows_what_was_learned_and_flush_forgets_it),
		WITH_BRIDGE(frames_stay_in_their_vlan_and_trunks_see_tags),
		WITH_BRIDGE(spoofed_source_is_refused_and_an_allowed_one_passes),
		WITH_BRIDGE(isolated_ports_reach_only_others),
		WITH_BRIDGE(mirror_port_sees_both_directions_and_may_not_send),
		WITH_BRIDGE(port_has_its_limit_of_macs),
		WITH_BRIDGE(static_mac_cannot_be_taken_by_another_port),
		WITH_BRIDGE(flood_above_the_rate_is_dropped),
		WITH_BRIDGE(flood_within_the_rate_passes),
		WITH_BRIDGE(flood_rate_is_the_ports_however_many_queues_it_uses),
		WITH_BRIDGE(frame_to_nobody_is_flooded_as_the_first_of_its_burst),
		WITH_BRIDGE(reserved_groups_pass_between_ports_that_forward_them),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/switch", tests, fixture_start, fixture_stop);
}
