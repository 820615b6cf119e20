// Arrivals through a tunnel: frames, checksums that are left to us, options.
#include "tunnel_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void
frames_pass_both_ways_and_are_accounted_for(void **state)
{
	uint8_t frame[FRAME_BYTES], inner[FRAME_BYTES];
	struct geneve_packet p;
	struct rte_mbuf *m;
	size_t len;

	(void)state;
	begin_tunnel(false, 0, 0);
	guest_sends(100);
	p = receive_tunnelled(frame);
	len = make_udp(inner, &near_mac, &far_mac, 100, true);
	assert_int_equal(p.inner_len, len);
	assert_memory_equal(frame + p.inner_offset, inner, len);
	len = make_udp(inner, &far_mac, &near_mac, 200, true);
	send_tunnelled(VNI, inner, len);
	m = receive(GUEST);
	assert_int_equal(m->pkt_len, len);
	assert_memory_equal(rte_pktmbuf_mtod(m, const void *), inner, len);
	rte_pktmbuf_free(m);
	assert_true(stats_of(NET).to_daemon);
	assert_conserved();
}

// A guest that is the other host leaves checksums to its NIC, which the uplink is.
static void
checksum_that_the_network_left_to_us_is_right(void **state)
{
	struct geneve_template t;
	uint8_t inner[FRAME_BYTES];
	struct rte_mbuf *m;
	size_t len = make_udp(inner, &far_mac, &near_mac, 200, true);
	uint8_t *data;

	(void)state;
	begin_tunnel(true, 0, RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	t = headers_of_other(VNI, true);
	m = rte_pktmbuf_alloc(pool);
	assert_non_null(m);
	data = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(t.len + len));
	memcpy(data + t.len, inner, len);
	geneve_push(&t, data, len, 50000, 0, 0, 0);
	m->l2_len = RTE_ETHER_HDR_LEN;
	m->l3_len = sizeof(struct rte_ipv6_hdr);
	m->ol_flags = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;
	send_mbuf(NET, m);
	m = receive(GUEST);
	assert_int_equal(m->pkt_len, len);
	rte_pktmbuf_free(m);
	assert_int_equal(stats_of(NET).drops[DROP_TUNNEL_CHECKSUM], 0);
}

// OVN's option, by itself.
static void
send_critical(const uint8_t *inner, size_t len)
{
	static const uint8_t option[] = {0x01, 0x02, 0x80, 1, 0, 1, 0, 2};
	struct geneve_template t = headers_of_other(VNI, false);
	uint8_t frame[FRAME_BYTES], *ip = frame + t.l3_offset, *udp = frame + t.udp_offset;
	uint16_t total;

	geneve_push(&t, frame, len + sizeof(option), 50000, 0, 0, 0);
	udp[8] = sizeof(option) / 4;
	udp[9] |= 0x40; // there are critical options
	memcpy(frame + t.len, option, sizeof(option));
	memcpy(frame + t.len + sizeof(option), inner, len);
	total = (uint16_t)(t.len + sizeof(option) + len - t.l3_offset);
	assert_int_equal(ip[2] << 8 | ip[3], total);
	send_bytes(NET, frame, t.l3_offset + total);
}

static void
critical_option_is_ignored_where_its_tunnel_says_so(void **state)
{
	uint8_t inner[FRAME_BYTES];
	size_t len = make_udp(inner, &far_mac, &near_mac, 200, true);
	char err[DP_ERR_SIZE];
	struct rte_mbuf *m;

	(void)state;
	begin_tunnel(false, 0, 0);
	send_critical(inner, len);
	wait_drops(NET, DROP_TUNNEL_OPTION, 1);
	narrow(1400);
	snprintf(tunnel_cfg.ignore_options, sizeof(tunnel_cfg.ignore_options), "0x102/");
	assert_int_equal(dp_port_set(dp, guest[TUNNEL].port, &tunnel_cfg, err), -EINVAL);
	assert_non_null(strstr(err, "ignore_options: must be CLASS"));
	snprintf(tunnel_cfg.ignore_options, sizeof(tunnel_cfg.ignore_options), "0x103,0x102/0x80");
	set_port(TUNNEL, &tunnel_cfg);
	send_critical(inner, len);
	m = receive(GUEST);
	assert_int_equal(m->pkt_len, len);
	assert_memory_equal(rte_pktmbuf_mtod(m, const void *), inner, len);
	rte_pktmbuf_free(m);
	snprintf(tunnel_cfg.ignore_options, sizeof(tunnel_cfg.ignore_options), "0x102/0x81");
	set_port(TUNNEL, &tunnel_cfg);
	send_critical(inner, len);
	wait_drops(NET, DROP_TUNNEL_OPTION, 2);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(frames_pass_both_ways_and_are_accounted_for),
		WITH_BRIDGE(checksum_that_the_network_left_to_us_is_right),
		WITH_BRIDGE(critical_option_is_ignored_where_its_tunnel_says_so),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/decap", tests, fixture_start, fixture_stop);
}
