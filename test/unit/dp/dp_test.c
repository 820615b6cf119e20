// The datapath as a whole: dp_fixture.h. One group of cases for each number of workers.
#include "dp_fixture.h"
#include "rtvs/units.h"

#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
frame_longer_than_the_receivers_mtu_is_dropped(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[1].mtu = 1000;
	add_guests(cfgs);
	send_frame(1, BROADCAST, 0, 60);
	expect_frame(0, 60);
	send_frame(0, 1, 0, 1000 + ETHER_HDR);
	expect_frame(1, 1000 + ETHER_HDR);
	send_frame(0, 1, 0, 1001 + ETHER_HDR);
	wait_drops(1, DROP_MTU, 1);
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
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;

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
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;

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
guest_that_leaves_and_returns_has_its_port_again(void **state)
{
	(void)state;
	plain_guests();
	for (unsigned i = 0; i < 5; i++) {
		unplug(1);
		wait_link(guest[1].port, false);
		plug(1, 0, 0);
		send_frame(0, BROADCAST, 0, 60);
		expect_frame(1, 60);
		expect_frame(2, 60);
	}
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

#define TSO_PAYLOAD 2900
#define TSO_MSS 500

static struct rte_mbuf *
make_tso_frame(void)
{
	struct rte_mbuf *m = make_frame(0, 1, 0, ETHER_HDR + 20 + 20 + TSO_PAYLOAD);
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	struct rte_ipv4_hdr ip = {.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16(20 + 20 + TSO_PAYLOAD),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_TCP,
		.src_addr = rte_cpu_to_be_32(0x0a000001),
		.dst_addr = rte_cpu_to_be_32(0x0a000002)};
	struct rte_tcp_hdr tcp = {.src_port = 1,
		.dst_port = 2,
		.sent_seq = rte_cpu_to_be_32(1000),
		.data_off = 5 << 4,
		.tcp_flags = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG};

	p[12] = 0x08;
	p[13] = 0;
	memcpy(p + ETHER_HDR, &ip, sizeof(ip));
	memcpy(p + ETHER_HDR + 20, &tcp, sizeof(tcp));
	for (unsigned i = 0; i < TSO_PAYLOAD; i++)
		p[ETHER_HDR + 40 + i] = (uint8_t)i;
	m->l2_len = ETHER_HDR;
	m->l3_len = 20;
	m->l4_len = 20;
	m->tso_segsz = TSO_MSS;
	m->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	return m;
}

static void
super_frame_is_segmented_for_a_guest_without_tso(void **state)
{
	struct dp_port_cfg cfgs[2] = {port_cfg(0), port_cfg(1)};
	struct dp_capture_pkt pkt;
	struct rte_mbuf *m;
	unsigned sum = 0;
	char err[DP_ERR_SIZE];
	uint64_t lost;

	(void)state;
	cfgs[0].deadline_ns = 1000000;
	add_port(0, &cfgs[0]);
	plug(0, 0, RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
	cfgs[1].csum = cfgs[1].tso = false;
	cfgs[1].dscp = DP_DSCP_DEADLINE;
	add_port(1, &cfgs[1]);
	plug(1, 0, 0);
	m = make_tso_frame();
	assert_int_equal(rte_eth_tx_prepare(guest[0].dev, 0, &m, 1), 1);
	assert_int_equal(dp_capture_start(dp, guest[0].port, "", 0, err), 0);
	send_mbuf(0, m);
	while (sum < TSO_PAYLOAD) {
		const struct rte_ipv4_hdr *ip;
		const struct rte_tcp_hdr *tcp;

		m = receive(1);
		ip = rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, ETHER_HDR);
		tcp = (const void *)(ip + 1);
		assert_int_equal(ip->type_of_service, 46 << 2); // as its sender's deadline
		assert_int_equal(rte_ipv4_cksum(ip) & 0xffff, 0); // over a right header: 0 or its complement
		assert_int_equal(rte_ipv4_udptcp_cksum_verify(ip, tcp), 0);
		assert_int_equal(rte_be_to_cpu_32(tcp->sent_seq), 1000 + sum);
		assert_true(m->pkt_len <= ETHER_HDR + 40 + TSO_MSS);
		sum += m->pkt_len - ETHER_HDR - 40;
		assert_int_equal(!!(tcp->tcp_flags & RTE_TCP_PSH_FLAG), sum == TSO_PAYLOAD);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(sum, TSO_PAYLOAD);
	// A capture has it in one piece, as the guest sent it.
	assert_true(dp_capture_next(dp, guest[0].port, &pkt));
	assert_int_equal(pkt.caplen, ETHER_HDR + 40 + TSO_PAYLOAD);
	dp_capture_stop(dp, guest[0].port, &lost);
}

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

// The fastest of a few readings of both clocks.
static void
read_clocks(uint64_t *ret_tsc, uint64_t *ret_ns)
{
	uint64_t fastest = UINT64_MAX;

	for (unsigned i = 0; i < 16; i++) {
		uint64_t before = rte_rdtsc(), after;
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		after = rte_rdtsc();
		if (after - before >= fastest)
			continue;
		fastest = after - before;
		*ret_tsc = before + fastest / 2;
		*ret_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	}
}

// Rates and deadlines are as exact as the clock is; DPDK rounds its frequency to 10 MHz.
static void
clock_runs_as_the_kernels_does(void **state)
{
	uint64_t tsc[2] = {0}, ns[2] = {0};
	struct dp_worker_stats s;
	double hz;

	(void)state;
	read_clocks(&tsc[0], &ns[0]);
	do
		read_clocks(&tsc[1], &ns[1]);
	while (ns[1] - ns[0] < 200000000);
	hz = (double)(tsc[1] - tsc[0]) * 1e9 / (double)(ns[1] - ns[0]);
	assert_int_equal(dp_worker_stats(dp, 0, &s), 0);
	assert_true((double)s.tsc_hz > hz * 0.9999 && (double)s.tsc_hz < hz * 1.0001);
}

#define RT_DEADLINE_NS UINT64_C(1000000000)

// Guest 2 is given a frame of 1,000 bytes a second: so slowly that a test which does not get its processor is still ahead of it.
static void
slow_uplink(struct dp_port_cfg cfgs[N_GUESTS])
{
	for (unsigned i = 0; i < N_GUESTS; i++)
		cfgs[i] = port_cfg(i);
	cfgs[1].deadline_ns = RT_DEADLINE_NS;
	cfgs[1].min_rate_bps = 50000;
	cfgs[1].burst_bytes = 3000;
	cfgs[2].rate_bps = DP_RATE_MIN;
}

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
	for (uint64_t end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S; rte_rdtsc() < end;)
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
	for (uint64_t end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S; rte_rdtsc() < end && flow_of(2, 0).n_queued < 20;)
		;
	unplug(2);
	wait_link(guest[2].port, false);
	for (uint64_t end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S; rte_rdtsc() < end && flow_of(2, 0).n_queued;)
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
	cfgs[2].rate_bps = 100000000;
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
	cfgs[2].rate_bps = 100000000;
	add_guests(cfgs);
	for (unsigned i = 0; i < 1000; i++) {
		cfgs[1].deadline_ns = 1000000 + i * 1000;
		cfgs[1].min_rate_bps = i % 3 ? 1000000 + i : 0;
		cfgs[2].rate_bps = i % 2 ? 100000000 : 50000000;
		send_frame(i % 2, 2, 0, 200);
		assert_int_equal(dp_port_set(dp, guest[1].port, &cfgs[1], err), 0);
		assert_int_equal(dp_port_set(dp, guest[2].port, &cfgs[2], err), 0);
		expect_frame(2, 200);
	}
	assert_conserved();
}

#define ECN 1
#define DSCP_BEFORE 56

// An IP packet without payload, marked DSCP_BEFORE and with ECN bits. vlan as in make_frame.
static struct rte_mbuf *
make_ip_frame(unsigned from, unsigned to, uint16_t vlan, bool is_v6)
{
	struct rte_mbuf *m = make_frame(from, to, vlan, 100);
	uint8_t *p = rte_pktmbuf_mtod_offset(m, uint8_t *, ETHER_HDR + (vlan ? 4 : 0));
	struct rte_ipv4_hdr v4 = {.version_ihl = 0x45,
		.type_of_service = DSCP_BEFORE << 2 | ECN,
		.total_length = rte_cpu_to_be_16(20),
		.time_to_live = 64,
		.src_addr = rte_cpu_to_be_32(0x0a000001),
		.dst_addr = rte_cpu_to_be_32(0x0a000002)};
	struct rte_ipv6_hdr v6 = {
		.vtc_flow = rte_cpu_to_be_32(6u << 28 | (DSCP_BEFORE << 2 | ECN) << 20 | 0xabcde), .proto = 59};

	p[-2] = is_v6 ? 0x86 : 0x08;
	p[-1] = is_v6 ? 0xdd : 0;
	v4.hdr_checksum = rte_ipv4_cksum(&v4);
	if (is_v6)
		memcpy(p, &v6, sizeof(v6));
	else
		memcpy(p, &v4, sizeof(v4));
	return m;
}

static void
expect_dscp(unsigned i, uint16_t vlan, bool is_v6, unsigned dscp)
{
	struct rte_mbuf *m = receive(i);
	unsigned at = ETHER_HDR + (vlan ? 4 : 0);
	struct rte_ipv4_hdr v4;
	struct rte_ipv6_hdr v6;

	memcpy(&v4, rte_pktmbuf_mtod_offset(m, uint8_t *, at), sizeof(v4));
	memcpy(&v6, rte_pktmbuf_mtod_offset(m, uint8_t *, at), sizeof(v6));
	if (is_v6) {
		assert_int_equal(rte_be_to_cpu_32(v6.vtc_flow), 6u << 28 | (dscp << 2 | ECN) << 20 | 0xabcde);
	} else {
		uint16_t sum = v4.hdr_checksum;

		assert_int_equal(v4.type_of_service, dscp << 2 | ECN);
		v4.hdr_checksum = 0;
		assert_int_equal(sum, rte_ipv4_cksum(&v4));
	}
	rte_pktmbuf_free(m);
}

static void
flood_is_marked_only_where_it_is_asked_for(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	char err[DP_ERR_SIZE];

	(void)state;
	cfgs[0].deadline_ns = 5000000;
	add_guests(cfgs);
	// Each of the two shares the bytes with the other once as the first and once as the last.
	for (unsigned k = 0; k < 8; k++) {
		unsigned writer = 1 + k / 2 % 2, other = 3 - writer;

		cfgs[writer].dscp = DP_DSCP_DEADLINE;
		cfgs[other].dscp = DP_DSCP_KEEP;
		assert_int_equal(dp_port_set(dp, guest[other].port, &cfgs[other], err), 0);
		assert_int_equal(dp_port_set(dp, guest[writer].port, &cfgs[writer], err), 0);
		send_mbuf(0, make_ip_frame(0, BROADCAST, 0, k % 2));
		expect_dscp(writer, 0, k % 2, 34);
		expect_dscp(other, 0, k % 2, DSCP_BEFORE);
	}
	send_frame(0, BROADCAST, 0, 60); // no IP
	expect_frame(1, 60);
	expect_frame(2, 60);
}

static void
dscp_is_that_of_the_senders_deadline(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_system_cfg none = system_cfg(""), own = system_cfg("1ms:cs6"), wrong = system_cfg("1ms:64"),
			     back = system_cfg(DSCP_DEFAULT);
	char err[DP_ERR_SIZE];

	(void)state;
	cfgs[0].deadline_ns = 1000000;
	cfgs[2].deadline_ns = 1; // that of the receiver says nothing
	cfgs[2].dscp = DP_DSCP_DEADLINE;
	cfgs[2].vlan_mode = DP_VLAN_TRUNK;
	cfgs[2].vlan = 7; // untagged
	cfgs[0].vlan = cfgs[1].vlan = 5;
	add_guests(cfgs);
	send_mbuf(0, make_ip_frame(0, 2, 0, false));
	expect_dscp(2, 5, false, 46);
	send_mbuf(1, make_ip_frame(1, 2, 0, true));
	expect_dscp(2, 5, true, DSCP_BEFORE);
	cfgs[0].deadline_ns++;
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_mbuf(0, make_ip_frame(0, 2, 0, true));
	expect_dscp(2, 5, true, 34);
	assert_int_equal(dp_system_set(dp, &wrong, err), -EINVAL);
	assert_non_null(strstr(err, "dscp_classes: entry 1"));
	assert_int_equal(dp_system_set(dp, &own, err), 0);
	send_mbuf(0, make_ip_frame(0, 2, 0, false));
	expect_dscp(2, 5, false, DSCP_BEFORE);
	cfgs[0].deadline_ns--;
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_mbuf(0, make_ip_frame(0, 2, 0, false));
	expect_dscp(2, 5, false, 48);
	assert_int_equal(dp_system_set(dp, &none, err), 0);
	send_mbuf(0, make_ip_frame(0, 2, 0, false));
	expect_dscp(2, 5, false, DSCP_BEFORE);
	assert_int_equal(dp_system_set(dp, &back, err), 0);
}

// Expedited forwarding is for what keeps to the port's rate.
static void
raised_dscp_ends_at_the_guaranteed_rate(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	unsigned n_of[2] = {0};
	uint64_t begin, ms;

	(void)state;
	cfgs[0].deadline_ns = 1000000000;
	cfgs[0].min_rate_bps = 8000; // a byte each ms
	cfgs[0].burst_bytes = 1514;
	cfgs[1].dscp = DP_DSCP_DEADLINE;
	add_guests(cfgs);
	send_mbuf(0, make_ip_frame(0, 1, 0, false));
	expect_dscp(1, 0, false, 10); // the class of its deadline
	assert_int_equal(dp_port_set_answer(dp, guest[0].port, 0, 46, 34), 0);
	begin = rte_rdtsc();
	for (unsigned n = 0; n < 40; n++) {
		struct rte_mbuf *m;

		send_mbuf(0, make_ip_frame(0, 1, 0, false));
		m = receive(1);
		n_of[rte_pktmbuf_mtod(m, uint8_t *)[ETHER_HDR + 1] >> 2 == 46]++;
		rte_pktmbuf_free(m);
	}
	ms = (rte_rdtsc() - begin) * 1000 / rte_get_tsc_hz();
	// 100 bytes each; the bucket holds a frame with a tunnel's headers.
	assert_in_range(n_of[true], 16, RTE_MIN(16 + ms / 100 + 1, 40u));
	assert_int_equal(dp_port_set_answer(dp, guest[0].port, 0, 46, 46), 0);
	send_mbuf(0, make_ip_frame(0, 1, 0, false));
	expect_dscp(1, 0, false, 46);
	assert_int_equal(dp_port_set_answer(dp, guest[0].port, 0, DSCP_KEEP, DSCP_KEEP), 0);
	send_mbuf(0, make_ip_frame(0, 1, 0, false));
	expect_dscp(1, 0, false, 10);
	assert_int_equal(dp_port_set_answer(dp, DP_MAX_PORTS, 0, 46, 46), -ENOENT);
}

static void
mirrors_show_packets_as_they_came(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	char err[DP_ERR_SIZE];

	(void)state;
	cfgs[0].deadline_ns = 5000000;
	cfgs[1].dscp = cfgs[2].dscp = DP_DSCP_DEADLINE;
	add_guests(cfgs);
	snprintf(cfgs[0].mirror_to, sizeof(cfgs[0].mirror_to), "p2");
	cfgs[0].mirror = DP_MIRROR_RX;
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_mbuf(0, make_ip_frame(0, BROADCAST, 0, false));
	expect_dscp(1, 0, false, 34);
	expect_dscp(2, 0, false, DSCP_BEFORE);
}

#define FOLLOWED_US 150 // a packet may be followed as often

static void
ask_and_answer(unsigned i)
{
	rte_delay_us_block(FOLLOWED_US);
	send_frame(1 - i, i, 0, 60);
	expect_frame(i, 60);
	rte_delay_us_block(FOLLOWED_US);
	send_frame(i, 1 - i, 0, 61);
	expect_frame(1 - i, 61);
}

static void
start_traces(void)
{
	char err[DP_ERR_SIZE];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(dp_trace_start(dp, guest[i].port, 10000, err), 0);
}

// An answer to one guest's followed packet is a packet to the other, which is followed, too. A chain whose answer is lost
// sight of stands still until it ends by time; so does one whose test does not get its processor.
static void
guests_that_answer_each_other_are_both_followed(void **state)
{
	uint64_t end = rte_rdtsc() + 2 * rte_get_tsc_hz();
	unsigned n_left[2] = {0}, n_lost = 0, n_slow = 0;
	struct chain_record r;

	(void)state;
	plain_guests();
	start_traces();
	while (rte_rdtsc() < end || !n_left[0] || !n_left[1]) {
		uint64_t begin = rte_rdtsc();

		ask_and_answer(1);
		n_slow += rte_rdtsc() - begin > rte_get_tsc_hz() / 100;
		for (unsigned i = 0; i < 2; i++)
			while (dp_trace_next(dp, guest[i].port, &r)) {
				n_left[i] += r.left_ns != 0;
				n_lost += r.answered_ns && !r.left_ns;
			}
	}
	assert_in_range(n_lost, 0, 2 + n_slow);
}

// The next record of guest 1, while the guests talk.
static struct chain_record
next_record(void)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
	struct chain_record r;

	while (!dp_trace_next(dp, guest[1].port, &r)) {
		assert_true(rte_rdtsc() < end);
		ask_and_answer(1);
	}
	return r;
}

static void
new_trace_begins_without_records_of_the_last_one(void **state)
{
	struct timespec begin;

	(void)state;
	plain_guests();
	start_traces();
	(void)next_record();
	for (unsigned i = 0; i < 20; i++) // which nobody reads
		ask_and_answer(1);
	for (unsigned i = 0; i < 8; i++) { // one stays without an answer: it ends after the new trace has begun
		send_frame(0, 1, 0, 60);
		expect_frame(1, 60);
	}
	dp_trace_stop(dp, guest[1].port);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	start_traces();
	for (unsigned i = 0; i < 20; i++)
		assert_true(next_record().queued_ns >= (uint64_t)begin.tv_sec * 1000000000 + (uint64_t)begin.tv_nsec);
	assert_int_equal(dp_trace_lost(dp, guest[1].port), 0);
}

static void
wrong_configurations_are_refused_with_the_field_named(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0);
	char err[DP_ERR_SIZE];
	unsigned id;

	(void)state;
	cfg.mtu = DP_MTU_MAX + 1;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "mtu"));
	cfg = port_cfg(0);
	cfg.n_queues = DP_MAX_QUEUES + 1;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "queues"));
	cfg = port_cfg(0);
	cfg.min_rate_bps = DP_RATE_MIN - 1;
	cfg.burst_bytes = 15000;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "min_rate"));
	cfg.min_rate_bps = DP_RATE_MIN;
	cfg.burst_bytes = cfg.mtu + ETHER_HDR - 1; // smaller than a packet
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "burst"));
	cfg = port_cfg(0);
	cfg.deadline_ns = DP_DEADLINE_MAX_NS + 1;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "deadline"));
	cfg = port_cfg(0);
	cfg.dscp = DP_DSCP_DEADLINE + 1;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "dscp"));
	cfg = port_cfg(0);
	snprintf(cfg.bridge, sizeof(cfg.bridge), "nowhere");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -ENOENT);
	assert_non_null(strstr(err, "nowhere"));
	cfg = port_cfg(0);
	snprintf(cfg.socket, sizeof(cfg.socket), "/nonexistent/dir/sock");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/dir"));
	cfg = port_cfg(0);
	snprintf(cfg.socket_owner, sizeof(cfg.socket_owner), "no-such-user");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "no-such-user"));
	cfg = port_cfg(0);
	cfg.type = DP_PORT_ETHDEV;
	snprintf(cfg.devargs, sizeof(cfg.devargs), "net_nothing0");
	assert_int_not_equal(dp_port_add(dp, &cfg, &id, err), 0);
	assert_non_null(strstr(err, "devargs"));
}

static void
what_is_fixed_cannot_be_set_and_names_are_unique(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0), other;
	char err[DP_ERR_SIZE];
	unsigned id;

	(void)state;
	add_port(0, &cfg);
	other = cfg;
	other.n_queues = 2;
	assert_int_equal(dp_port_set(dp, guest[0].port, &other, err), -EINVAL);
	assert_non_null(strstr(err, "queues"));
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EEXIST);
	other = port_cfg(1);
	memcpy(other.socket, cfg.socket, sizeof(other.socket));
	assert_int_equal(dp_port_add(dp, &other, &id, err), -EADDRINUSE);
	assert_int_equal(dp_bridge_del(dp, bridge), -EBUSY);
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
		WITH_BRIDGE(frame_longer_than_the_receivers_mtu_is_dropped),
		WITH_BRIDGE(port_has_its_limit_of_macs),
		WITH_BRIDGE(static_mac_cannot_be_taken_by_another_port),
		WITH_BRIDGE(flood_above_the_rate_is_dropped),
		WITH_BRIDGE(flood_within_the_rate_passes),
		WITH_BRIDGE(port_that_is_down_takes_and_gives_nothing_until_it_is_up),
		WITH_BRIDGE(guest_that_leaves_and_returns_has_its_port_again),
		WITH_BRIDGE(packets_are_accounted_for_while_ports_come_and_go),
		WITH_BRIDGE(super_frame_is_segmented_for_a_guest_without_tso),
		WITH_BRIDGE(capture_gets_what_its_filter_matches),
		cmocka_unit_test(clock_runs_as_the_kernels_does),
		WITH_BRIDGE(deadline_overtakes_what_has_none),
		WITH_BRIDGE(packets_past_their_deadline_are_dropped_where_asked),
		WITH_BRIDGE(slow_receiver_costs_its_senders_packets_and_nobody_else),
		WITH_BRIDGE(guest_that_leaves_takes_its_queue_along),
		WITH_BRIDGE(port_with_a_number_used_before_has_no_history),
		WITH_BRIDGE(changes_of_deadlines_and_rates_lose_nothing),
		WITH_BRIDGE(flood_is_marked_only_where_it_is_asked_for),
		WITH_BRIDGE(dscp_is_that_of_the_senders_deadline),
		WITH_BRIDGE(raised_dscp_ends_at_the_guaranteed_rate),
		WITH_BRIDGE(mirrors_show_packets_as_they_came),
		WITH_BRIDGE(guests_that_answer_each_other_are_both_followed),
		WITH_BRIDGE(new_trace_begins_without_records_of_the_last_one),
		WITH_BRIDGE(wrong_configurations_are_refused_with_the_field_named),
		WITH_BRIDGE(what_is_fixed_cannot_be_set_and_names_are_unique),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("dp", tests, fixture_start, fixture_stop);
}
