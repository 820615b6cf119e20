// A tunnel's answers to packets that exceed its MTU.
#include "tunnel_fixture.h"

#include <netinet/in.h>
#include <string.h>

static void
packet_with_df_is_answered_and_no_ip_is_counted(void **state)
{
	uint8_t frame[FRAME_BYTES];
	struct rte_mbuf *m;
	size_t len;

	(void)state;
	begin_tunnel(false, 0, 0);
	narrow(600);
	send_bytes(GUEST, frame, make_udp(frame, &near_mac, &far_mac, 1472, true));
	m = receive(GUEST); // ICMP fragmentation needed
	assert_int_equal(rte_pktmbuf_mtod(m, const uint8_t *)[23], IPPROTO_ICMP);
	rte_pktmbuf_free(m);
	wait_drops(TUNNEL, DROP_MTU, 1);
	len = make_udp(frame, &near_mac, &far_mac, 1472, false);
	frame[12] = 0x88; // an experimental EtherType
	frame[13] = 0xb5;
	send_bytes(GUEST, frame, len);
	wait_drops(TUNNEL, DROP_UNFRAGMENTABLE, 1);
	wait_drops(TUNNEL, DROP_MTU, 1);
	assert_conserved();
}

// IPv4 with DF, its tags before it. Returns the frame's length.
static size_t
make_tagged(uint8_t *out, size_t ip_len)
{
	static const uint8_t tags[] = {0x88, 0xa8, 0, 5, 0x81, 0, 0, 6};
	size_t len = make_udp(out, &near_mac, &far_mac, ip_len - 28, true);

	memmove(out + 12 + sizeof(tags), out + 12, len - 12);
	memcpy(out + 12, tags, sizeof(tags));
	return len + sizeof(tags);
}

// An uplink that has room for a tunnel's headers and one tag, as its configuration must, says so
// before it drops.
static void
packet_behind_two_tags_fits_its_uplink_or_is_answered(void **state)
{
	uint8_t frame[FRAME_BYTES], seen[FRAME_BYTES];
	const uint8_t *answer;
	struct geneve_packet p;
	struct rte_mbuf *m;
	size_t len;

	(void)state;
	begin_tunnel(true, 0, 0);
	for (unsigned room = 0; room < 2; room++) {
		uint32_t mtu = room ? 1500 : 1496;

		uplink_cfg.mtu = 1500 + DP_TUNNEL_OVERHEAD + 4 * room;
		set_port(NET, &uplink_cfg);
		len = make_tagged(frame, mtu);
		send_bytes(GUEST, frame, len);
		p = receive_tunnelled(seen);
		assert_int_equal(p.inner_len, len);
		send_bytes(GUEST, frame, make_tagged(frame, mtu + 1));
		wait_drops(TUNNEL, DROP_MTU, room + 1);
		m = receive(GUEST);
		answer = rte_pktmbuf_mtod(m, const uint8_t *) + RTE_ETHER_HDR_LEN + 8 + 20;
		assert_int_equal(answer[0], 3);
		assert_int_equal(answer[1], 4); // fragmentation needed
		assert_int_equal(answer[6] << 8 | answer[7], mtu);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(stats_of(NET).drops[DROP_MTU], 0);
	assert_conserved();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(packet_with_df_is_answered_and_no_ip_is_counted),
		WITH_BRIDGE(packet_behind_two_tags_fits_its_uplink_or_is_answered),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/too_big", tests, fixture_start, fixture_stop);
}
