// Routers' reports about the MTU of the path between the hosts.
#include "rtvs/neighbor.h"
#include "tunnel_fixture.h"

#include <rte_ip.h>

#include <string.h>

// A router says that mtu is the most for a packet that was seen, of which it quotes so many bytes.
static void
router_says(const uint8_t *seen, uint32_t mtu, size_t quote)
{
	uint8_t frame[FRAME_BYTES] = {0};
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	uint8_t *icmp = (uint8_t *)(ip + 1);
	uint16_t sum;

	memcpy(frame, seen + 6, 6);
	memcpy(frame + 6, seen, 6);
	frame[12] = 0x08;
	*ip = (struct rte_ipv4_hdr){.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + 8 + quote)),
		.time_to_live = 60,
		.next_proto_id = IPPROTO_ICMP,
		.src_addr = rte_cpu_to_be_32(RTE_IPV4(10, 9, 0, 254)),
		.dst_addr = rte_cpu_to_be_32(RTE_IPV4(10, 9, 0, 1))};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	icmp[0] = 3;
	icmp[1] = 4;
	icmp[6] = (uint8_t)(mtu >> 8);
	icmp[7] = (uint8_t)mtu;
	memcpy(icmp + 8, seen + RTE_ETHER_HDR_LEN, quote);
	sum = (uint16_t)~rte_raw_cksum(icmp, 8 + quote);
	memcpy(icmp + 2, &sum, 2);
	send_bytes(NET, frame, RTE_ETHER_HDR_LEN + sizeof(*ip) + 8 + quote);
}

// The daemon has looked at all that was sent to it before.
static void
settle(void)
{
	uint64_t n = stats_of(NET).to_daemon, end = wait_limit();
	uint8_t request[NEIGHBOR_MAX];
	struct neighbor_self self = {.is_ipv6 = other.is_ipv6, .mac = other.mac};

	memcpy(self.addr, other.addr, sizeof(self.addr));
	send_bytes(NET, request, neighbor_request(&self, uplink_cfg.address.addr, NULL, request));
	while (stats_of(NET).to_daemon == n)
		assert_true(rte_rdtsc() < end);
	for (unsigned i = 0; i < 100; i++)
		rte_pktmbuf_free(poll_outside());
}

static void
wait_mtu(uint32_t mtu)
{
	uint64_t end = wait_limit();

	while (state_of(TUNNEL).mtu != mtu) {
		rte_pktmbuf_free(poll_outside());
		assert_true(rte_rdtsc() < end);
	}
}

static void
what_the_network_takes_is_what_the_tunnel_takes(void **state)
{
	uint8_t seen[FRAME_BYTES], frame[FRAME_BYTES], forged[FRAME_BYTES];
	size_t len;

	(void)state;
	begin_tunnel(false, 0, 0);
	guest_sends(1400);
	(void)receive_tunnelled(seen);
	// About a packet to another host, of another network, one that would fit, and one that is
	// not ours.
	memcpy(forged, seen, FRAME_BYTES);
	forged[RTE_ETHER_HDR_LEN + 19]++;
	router_says(forged, 1300, 28);
	memcpy(forged, seen, FRAME_BYTES);
	forged[RTE_ETHER_HDR_LEN + 20 + 8 + 6]++; // VNI
	router_says(forged, 1300, 100);
	router_says(seen, 1600, 100);
	memcpy(forged, seen, FRAME_BYTES);
	forged[RTE_ETHER_HDR_LEN + 22]++; // destination port
	router_says(forged, 1300, 28);
	settle();
	assert_int_equal(state_of(TUNNEL).mtu, 1500);
	router_says(seen, 1300, 28);
	wait_mtu(1300 - 90);
	assert_non_null(strstr(state_of(TUNNEL).detail, "1300 bytes at most"));
	len = make_udp(frame, &near_mac, &far_mac, 1472, false);
	send_bytes(GUEST, frame, len);
	for (unsigned i = 0; i < 2; i++) {
		struct geneve_packet p = receive_tunnelled(seen);

		assert_true(p.inner_offset + p.inner_len <= RTE_ETHER_HDR_LEN + 1300);
	}
	// The network is no wider for a tunnel that is added again, and another way through it is
	// not known to be narrow.
	assert_int_equal(dp_port_del(dp, guest[TUNNEL].port), 0);
	guest[TUNNEL].port = add_tunnel("t2", VNI + 1);
	assert_int_equal(state_of(TUNNEL).mtu, 1500);
	assert_int_equal(dp_port_del(dp, guest[TUNNEL].port), 0);
	guest[TUNNEL].port = add_tunnel("t", VNI);
	assert_int_equal(state_of(TUNNEL).mtu, 1300 - 90);
	assert_conserved();
}

// An IPv6 packet of len bytes inside of a frame.
static size_t
make_ipv6(uint8_t *out, size_t len)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(out + RTE_ETHER_HDR_LEN);

	memset(out, 0, RTE_ETHER_HDR_LEN + len);
	memcpy(out, far_mac.b, 6);
	memcpy(out + 6, near_mac.b, 6);
	out[12] = 0x86;
	out[13] = 0xdd;
	ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
	ip->payload_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*ip)));
	ip->proto = 59; // no next header
	ip->hop_limits = 64;
	memset(&ip->src_addr, 0x21, 16);
	memset(&ip->dst_addr, 0x22, 16);
	return RTE_ETHER_HDR_LEN + len;
}

// A router may report less, or a forger of its reports, and hosts need not take less (RFC 8200,
// section 5).
static void
ipv6_is_not_asked_for_less_than_its_minimum(void **state)
{
	uint8_t frame[FRAME_BYTES], seen[FRAME_BYTES];
	const uint8_t *answer;
	struct geneve_packet p;
	struct rte_mbuf *m;
	size_t len;

	(void)state;
	begin_tunnel(false, 0, 0);
	guest_sends(1400);
	(void)receive_tunnelled(seen);
	router_says(seen, 576, 28);
	wait_mtu(576 - 90);
	len = make_ipv6(frame, 1280);
	send_bytes(GUEST, frame, len);
	p = receive_tunnelled(seen);
	assert_int_equal(p.inner_len, len);
	assert_memory_equal(seen + p.inner_offset, frame, len);
	send_bytes(GUEST, frame, make_ipv6(frame, 1281));
	wait_drops(TUNNEL, DROP_MTU, 1);
	m = receive(GUEST);
	answer = rte_pktmbuf_mtod(m, const uint8_t *) + RTE_ETHER_HDR_LEN + 40;
	assert_int_equal(answer[0], 2); // ICMPv6 packet too big
	assert_int_equal(answer[6] << 8 | answer[7], 1280);
	rte_pktmbuf_free(m);
	assert_conserved();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(what_the_network_takes_is_what_the_tunnel_takes),
		WITH_BRIDGE(ipv6_is_not_asked_for_less_than_its_minimum),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/underlay", tests, fixture_start, fixture_stop);
}
