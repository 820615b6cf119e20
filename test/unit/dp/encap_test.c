// Departures through a tunnel: the packets' numbers, and the checksum outside.
#include "tunnel_fixture.h"

#include <rte_ip.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define N_OLD 8

// Packets wait at an uplink that hardly sends; then it does.
static void
slow_down(void)
{
	uplink_cfg.link_rate_bps = DP_RATE_MIN;
	set_port(NET, &uplink_cfg);
}

static void
speed_up(void)
{
	uplink_cfg.link_rate_bps = UINT64_C(10000000000);
	set_port(NET, &uplink_cfg);
}

static void
wait_queued(int64_t n)
{
	uint64_t end = wait_limit();

	while (stats_of(NET).queued < n)
		assert_true(rte_rdtsc() < end);
}

// So many packets of the guest have left through a tunnel, or wait for it.
static void
wait_seq(unsigned id, uint64_t n)
{
	uint64_t end = wait_limit();

	while (dp_flow_seq(dp, id, guest[GUEST].port) != n)
		assert_true(rte_rdtsc() < end);
}

static void
new_tunnel_numbers_none_of_the_packets_of_an_old_one(void **state)
{
	uint8_t frame[FRAME_BYTES];
	struct geneve_packet p;
	unsigned before;

	(void)state;
	begin_tunnel(false, 0, 0);
	slow_down();
	for (unsigned i = 0; i < N_OLD; i++)
		guest_sends(1000);
	wait_queued(N_OLD - 2); // the link owes a packet or two at most
	before = guest[TUNNEL].port;
	assert_int_equal(dp_port_del(dp, guest[TUNNEL].port), 0);
	guest[TUNNEL].port = add_tunnel("t2", VNI + 1);
	assert_int_equal(guest[TUNNEL].port, before);
	guest_sends(10);
	wait_queued(N_OLD - 1);
	speed_up();
	do
		p = receive_tunnelled(frame);
	while (p.vni != VNI + 1);
	assert_int_equal(p.meta.seq, 0);
	assert_true(p.meta.time_ns > UINT64_C(1000000000));
}

// The other host did not forget its number.
static void
tunnel_that_is_added_again_goes_on_with_its_numbers(void **state)
{
	uint8_t frame[FRAME_BYTES];

	(void)state;
	begin_tunnel(false, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		guest_sends(10);
		assert_int_equal(receive_tunnelled(frame).meta.seq, i);
		if (i == 1) {
			assert_int_equal(dp_port_del(dp, guest[TUNNEL].port), 0);
			guest[TUNNEL].port = add_tunnel("again", VNI);
		}
	}
}

static void
number_of_a_flow_counts_no_packets_for_other_tunnels(void **state)
{
	uint8_t inner[FRAME_BYTES], frame[FRAME_BYTES];
	static const struct mac third = {{0x52, 0x54, 0, 0, 0, 3}};
	unsigned second;

	(void)state;
	begin_tunnel(false, 0, 0);
	second = add_tunnel("t2", VNI + 1);
	// Each is known to be behind one of the tunnels.
	send_tunnelled(VNI, inner, make_udp(inner, &far_mac, &near_mac, 50, true));
	rte_pktmbuf_free(receive(GUEST));
	send_tunnelled(VNI + 1, inner, make_udp(inner, &third, &near_mac, 50, true));
	rte_pktmbuf_free(receive(GUEST));
	slow_down();
	for (unsigned i = 0; i < N_OLD; i++)
		send_bytes(GUEST, inner, make_udp(inner, &near_mac, &third, 1000, true));
	wait_seq(second, N_OLD);
	assert_int_equal(dp_flow_seq(dp, guest[TUNNEL].port, guest[GUEST].port), 0);
	guest_sends(10);
	wait_seq(guest[TUNNEL].port, 1);
	speed_up();
	for (unsigned i = 0; i <= N_OLD; i++)
		(void)receive_tunnelled(frame);
	assert_int_equal(dp_flow_seq(dp, guest[TUNNEL].port, guest[GUEST].port), 1);
	assert_int_equal(dp_flow_seq(dp, second, guest[GUEST].port), N_OLD);
}

// A packet that was dropped while it waited does not count as waiting any more.
static void
number_of_a_flow_forgets_what_was_dropped(void **state)
{
	(void)state;
	begin_tunnel(false, 0, 0);
	slow_down();
	for (unsigned i = 0; i < N_OLD; i++)
		guest_sends(1000);
	wait_seq(guest[TUNNEL].port, N_OLD);
	uplink_cfg.admin_up = false;
	set_port(NET, &uplink_cfg);
	while (stats_of(NET).queued)
		;
	assert_in_range(dp_flow_seq(dp, guest[TUNNEL].port, guest[GUEST].port), 0, 2);
	uplink_cfg.admin_up = true;
	set_port(NET, &uplink_cfg);
}

// The checksum field of the UDP header outside.
static uint16_t
outer_checksum(const uint8_t *frame)
{
	const uint8_t *udp = frame + RTE_ETHER_HDR_LEN + (other.is_ipv6 ? 40 : 20);

	return (uint16_t)(udp[6] << 8 | udp[7]);
}

// receive_tunnelled has verified one that is there.
static void
checksum_outside_is_there_where_it_is_asked_for(void **state)
{
	uint8_t frame[FRAME_BYTES];

	(void)state;
	begin_tunnel(true, 0, 0);
	guest_sends(100);
	(void)receive_tunnelled(frame);
	assert_int_equal(outer_checksum(frame), 0);
	assert_int_equal(dp_port_del(dp, guest[TUNNEL].port), 0);
	tunnel_cfg.csum = true;
	guest[TUNNEL].port = add_tunnel("t", VNI);
	for (size_t payload = 0; payload < 8; payload++) {
		guest_sends(100 + payload);
		(void)receive_tunnelled(frame);
		assert_true(outer_checksum(frame));
	}
	assert_int_equal(dp_port_del(dp, guest[TUNNEL].port), 0);
	tunnel_cfg.timestamps = false;
	guest[TUNNEL].port = add_tunnel("t", VNI);
	guest_sends(100);
	(void)receive_tunnelled(frame);
	assert_true(outer_checksum(frame));
}

static void
checksum_outside_works_over_ipv4(void **state)
{
	uint8_t frame[FRAME_BYTES];

	(void)state;
	begin_tunnel(false, 0, 0);
	assert_int_equal(dp_port_del(dp, guest[TUNNEL].port), 0);
	tunnel_cfg.csum = true;
	guest[TUNNEL].port = add_tunnel("t", VNI);
	guest_sends(100);
	(void)receive_tunnelled(frame);
	assert_true(outer_checksum(frame));
}

// A network that completes checksums gets the pseudo-header's sum.
static void
checksum_outside_is_left_to_a_device_that_does_it(void **state)
{
	uint8_t frame[FRAME_BYTES];
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)(frame + RTE_ETHER_HDR_LEN);
	struct rte_mbuf *m;

	(void)state;
	begin_tunnel(true, RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM, 0);
	assert_int_equal(dp_port_del(dp, guest[TUNNEL].port), 0);
	tunnel_cfg.csum = true;
	guest[TUNNEL].port = add_tunnel("t", VNI);
	guest_sends(100);
	m = receive_outside();
	assert_true(m->pkt_len <= FRAME_BYTES);
	memcpy(frame, rte_pktmbuf_mtod(m, const void *), m->pkt_len);
	rte_pktmbuf_free(m);
	assert_int_equal(rte_cpu_to_be_16(outer_checksum(frame)), rte_ipv6_phdr_cksum(ip, 0));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(tunnel_that_is_added_again_goes_on_with_its_numbers),
		WITH_BRIDGE(new_tunnel_numbers_none_of_the_packets_of_an_old_one),
		WITH_BRIDGE(number_of_a_flow_counts_no_packets_for_other_tunnels),
		WITH_BRIDGE(number_of_a_flow_forgets_what_was_dropped),
		WITH_BRIDGE(checksum_outside_is_there_where_it_is_asked_for),
		WITH_BRIDGE(checksum_outside_works_over_ipv4),
		WITH_BRIDGE(checksum_outside_is_left_to_a_device_that_does_it),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/encap", tests, fixture_start, fixture_stop);
}
