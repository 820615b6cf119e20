// The packets of a capture.
#include "tunnel_fixture.h"

#include <errno.h>
#include <string.h>

static void
capture_gets_what_its_filter_matches(void **state)
{
	struct dp_capture_pkt pkt;
	uint64_t lost, end = wait_limit();
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

static void
capture_of_a_tunnel_has_what_it_sends_and_receives(void **state)
{
	uint8_t inner[FRAME_BYTES], frame[FRAME_BYTES];
	struct dp_capture_pkt pkt;
	uint64_t lost, end = wait_limit();
	char err[DP_ERR_SIZE];

	(void)state;
	begin_tunnel(false, 0, 0);
	assert_int_equal(dp_capture_start(dp, guest[TUNNEL].port, "", 0, err), 0);
	guest_sends(100);
	while (!dp_capture_next(dp, guest[TUNNEL].port, &pkt))
		assert_true(rte_rdtsc() < end);
	assert_true(pkt.is_tx);
	assert_int_equal(pkt.len, make_udp(inner, &near_mac, &far_mac, 100, true));
	assert_memory_equal(pkt.data, inner, pkt.len);
	(void)receive_tunnelled(frame);
	send_tunnelled(VNI, inner, make_udp(inner, &far_mac, &near_mac, 200, true));
	while (!dp_capture_next(dp, guest[TUNNEL].port, &pkt))
		assert_true(rte_rdtsc() < end);
	assert_false(pkt.is_tx);
	assert_memory_equal(pkt.data, inner, pkt.len);
	dp_capture_stop(dp, guest[TUNNEL].port, &lost);
	assert_int_equal(lost, 0);
	rte_pktmbuf_free(receive(GUEST));
}

// The device of a scheduled port is full: packets that it took at once, and packets that it took
// later or lost, were seen once, in order.
static void
capture_at_a_full_device_gets_each_packet_once(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	// With two workers a sender may have 128 buffers at one port, beside 256 in its ring.
	unsigned n_sent = 350, n_seen = 0, n_got = 0, last = 0;
	struct dp_capture_pkt pkt;
	uint64_t lost, end;
	char err[DP_ERR_SIZE];
	struct rte_mbuf *m;

	(void)state;
	cfgs[0].deadline_ns = 1000000000;
	add_guests(cfgs);
	send_frame(1, BROADCAST, 0, 60);
	expect_frame(0, 60);
	expect_frame(2, 60);
	assert_int_equal(dp_capture_start(dp, guest[1].port, "", 0, err), 0);
	for (unsigned i = 0; i < n_sent; i++)
		send_frame(0, 1, 0, 100 + i);
	for (end = wait_limit(); n_seen < n_sent || n_got + drops_of(1, DROP_TX_TIMEOUT) < n_sent;) {
		assert_true(rte_rdtsc() < end);
		while (dp_capture_next(dp, guest[1].port, &pkt)) {
			assert_true(pkt.is_tx);
			assert_int_equal(pkt.len, 100 + n_seen++);
		}
		// Its ring is filled first.
		if (n_seen < 256 || !rte_eth_rx_burst(guest[1].dev, 0, &m, 1))
			continue;
		assert_true(m->pkt_len > last);
		last = m->pkt_len;
		n_got++;
		rte_pktmbuf_free(m);
	}
	dp_capture_stop(dp, guest[1].port, &lost);
	assert_int_equal(lost, 0);
	assert_conserved();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(capture_gets_what_its_filter_matches),
		WITH_BRIDGE(capture_of_a_tunnel_has_what_it_sends_and_receives),
		WITH_BRIDGE(capture_at_a_full_device_gets_each_packet_once),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/captures", tests, fixture_start, fixture_stop);
}
