// Packets that a port does not take, and the packets behind them. The receiver is a guest whose
// ring's buffers are as many and as long as a test says.
#include "dp_fixture.h"

#include <rte_dev.h>

#include <stdio.h>
#include <string.h>

#define MTU 9000
#define HDR 12 // of virtio_net, in each buffer of DPDK's driver
#define RING 32 // the receiver's
#define N_QUEUES 4 // of the receiver that has several
#define N_FLOWS 16

enum {
	SENDER,
	RECEIVER,
	OTHER, // whom nothing that is sent to the receiver may delay
};

static uint64_t drops_before[DROP_COUNT]; // the receiver's

static void
set_schedule(unsigned i, uint64_t link_rate_bps, uint64_t deadline_ns)
{
	struct dp_port_cfg cfg = port_cfg(i);
	char err[DP_ERR_SIZE];

	cfg.mtu = MTU;
	cfg.link_rate_bps = link_rate_bps;
	cfg.deadline_ns = deadline_ns;
	assert_int_equal(dp_port_set(dp, guest[i].port, &cfg, err), 0);
}

static int
add_ports(void **state)
{
	int rc = fixture_add_bridge(state);

	for (unsigned i = 0; !rc && i < N_GUESTS; i++) {
		struct dp_port_cfg cfg = port_cfg(i);
		struct mac mac = guest_mac(i);
		char err[DP_ERR_SIZE];

		cfg.mtu = MTU;
		add_port(i, &cfg);
		rc = dp_mac_add(dp, bridge, &mac, 0, guest[i].port, err);
		if (i != RECEIVER)
			plug(i, 0, 0);
	}
	return rc;
}

static uint64_t
receiver_drops(enum drop reason)
{
	return drops_of(RECEIVER, reason) - drops_before[reason];
}

// Its ring's buffers come from a pool; args are virtio-user's.
static void
plug_receiver_queues(struct rte_mempool *buffers, uint16_t n_queues, const char *args)
{
	struct guest *g = &guest[RECEIVER];
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	char all[256];

	for (unsigned reason = 0; reason < DROP_COUNT; reason++)
		drops_before[reason] = drops_of(RECEIVER, reason);
	snprintf(
		all, sizeof(all), "path=%s/p%u,queues=%u,queue_size=%u%s", fixture_dir, RECEIVER, n_queues, RING, args);
	assert_int_equal(rte_eal_hotplug_add("vdev", "net_virtio_user1", all), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name("net_virtio_user1", &g->dev), 0);
	assert_int_equal(rte_eth_dev_info_get(g->dev, &info), 0);
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	assert_int_equal(rte_eth_dev_configure(g->dev, n_queues, n_queues, &conf), 0);
	for (uint16_t q = 0; q < n_queues; q++) {
		assert_int_equal(rte_eth_rx_queue_setup(g->dev, q, RING, SOCKET_ID_ANY, NULL, buffers), 0);
		assert_int_equal(rte_eth_tx_queue_setup(g->dev, q, RING, SOCKET_ID_ANY, NULL), 0);
	}
	assert_int_equal(rte_eth_dev_start(g->dev), 0);
	wait_link(g->port, true);
}

static void
plug_receiver(struct rte_mempool *buffers, const char *args)
{
	plug_receiver_queues(buffers, 1, args);
}

static void
send_burst(unsigned to, const uint16_t *lens, uint16_t n)
{
	struct rte_mbuf *pkts[4 * RING];
	uint64_t end = wait_limit();

	for (uint16_t k = 0; k < n; k++)
		pkts[k] = make_frame(SENDER, to, 0, lens[k]);
	for (uint16_t sent = 0; sent < n; assert_true(rte_rdtsc() < end))
		sent = (uint16_t)(sent + rte_eth_tx_burst(guest[SENDER].dev, 0, pkts + sent, (uint16_t)(n - sent)));
}

// The longest frame that the receiver's ring can take passes, one more byte does not, and later
// frames pass.
static void
longest_passes_and_a_longer_one_is_refused(unsigned longest)
{
	const uint16_t burst[] = {60, (uint16_t)(longest + 1), 61, (uint16_t)longest, (uint16_t)(longest + 1), 62};

	send_burst(RECEIVER, burst, RTE_DIM(burst));
	expect_frame(RECEIVER, 60);
	expect_frame(RECEIVER, 61);
	expect_frame(RECEIVER, longest);
	expect_frame(RECEIVER, 62);
	wait_drops(RECEIVER, DROP_REFUSED, drops_before[DROP_REFUSED] + 2);
	assert_int_equal(receiver_drops(DROP_TX_FULL) + receiver_drops(DROP_TX_TIMEOUT), 0);
	send_frame(SENDER, OTHER, 0, 60);
	expect_frame(OTHER, 60);
}

static struct rte_mempool *
make_buffers(unsigned bytes)
{
	struct rte_mempool *buffers =
		rte_pktmbuf_pool_create("buffers", 255, 0, 0, (uint16_t)(RTE_PKTMBUF_HEADROOM + bytes), SOCKET_ID_ANY);

	assert_non_null(buffers);
	return buffers;
}

static void
ring_without_mergeable_buffers_refuses_what_is_longer_than_one(void **state)
{
	struct rte_mempool *buffers = make_buffers(2048);

	(void)state;
	// Without a schedule, which a port keeps from when it first has one; with a link's rate;
	// because of a deadline only.
	for (unsigned i = 0; i < 6; i++) {
		set_schedule(RECEIVER, i / 2 == 1 ? 1000000000 : 0, 0);
		set_schedule(OTHER, 0, i / 2 == 2 ? 5000000 : 0);
		plug_receiver(buffers, i % 2 ? ",mrg_rxbuf=0,packed_vq=1" : ",mrg_rxbuf=0");
		longest_passes_and_a_longer_one_is_refused(2048);
		unplug(RECEIVER);
	}
	rte_mempool_free(buffers);
}

static void
ring_of_mergeable_buffers_refuses_what_is_longer_than_all(void **state)
{
	struct rte_mempool *buffers = make_buffers(64);

	(void)state;
	// so that packets wait until the guest offers all of its ring again
	set_schedule(OTHER, 0, 5000000);
	for (unsigned i = 0; i < 2; i++) {
		plug_receiver(buffers, i ? ",packed_vq=1" : "");
		longest_passes_and_a_longer_one_is_refused(RING * (64 + HDR) - HDR);
		unplug(RECEIVER);
	}
	rte_mempool_free(buffers);
}

static void
receiver_that_takes_nothing_loses_what_is_next_after_a_time(void **state)
{
	uint16_t burst[4 * RING];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(burst); i++)
		burst[i] = 60;
	set_schedule(RECEIVER, 1000000000, 0);
	plug_receiver(pool, "");
	send_burst(RECEIVER, burst, RTE_DIM(burst));
	// Those behind have waited for as long: they are too old for the port's rate.
	for (uint64_t end = wait_limit();
		receiver_drops(DROP_TX_TIMEOUT) + receiver_drops(DROP_AQM) < RTE_DIM(burst) - RING &&
		rte_rdtsc() < end;)
		;
	assert_true(receiver_drops(DROP_TX_TIMEOUT) > 0);
	send_frame(SENDER, OTHER, 0, 60);
	expect_frame(OTHER, 60);
	// The guest reads again: what its ring has, then what is sent to it since.
	for (unsigned i = 0; i < RING; i++)
		expect_frame(RECEIVER, 60);
	send_frame(SENDER, RECEIVER, 0, 61);
	expect_frame(RECEIVER, 61);
	assert_int_equal(receiver_drops(DROP_TX_TIMEOUT) + receiver_drops(DROP_AQM), RTE_DIM(burst) - RING);
}

static void
add_receiver_of_queues(void)
{
	struct dp_port_cfg cfg = port_cfg(RECEIVER);
	struct mac mac = guest_mac(RECEIVER);
	char err[DP_ERR_SIZE];

	assert_int_equal(dp_port_del(dp, guest[RECEIVER].port), 0);
	cfg.mtu = MTU;
	cfg.n_queues = N_QUEUES;
	add_port(RECEIVER, &cfg);
	assert_int_equal(dp_mac_add(dp, bridge, &mac, 0, guest[RECEIVER].port, err), 0);
}

static void
wait_queues(uint32_t n)
{
	uint64_t stop = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
	struct dp_port_state port;

	do
		assert_int_equal(dp_port_state(dp, guest[RECEIVER].port, &port), 0);
	while (port.n_queues < n && rte_rdtsc() < stop);
	assert_int_equal(port.n_queues, n);
}

// Of a flow each, as the source port of UDP tells; the length tells the number of the packet.
static struct rte_mbuf *
make_flow_frame(uint8_t flow, unsigned n)
{
	struct rte_mbuf *m = make_frame(SENDER, RECEIVER, 0, 60 + n);
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);

	p[12] = 0x08; // IPv4, UDP
	p[13] = 0;
	p[ETHER_HDR] = 0x45;
	p[ETHER_HDR + 2] = (uint8_t)((46 + n) >> 8);
	p[ETHER_HDR + 3] = (uint8_t)(46 + n);
	p[ETHER_HDR + 9] = 17;
	p[ETHER_HDR + 21] = flow;
	return m;
}

// The content of the queue: of each flow the numbers go up. A flow has one queue.
static unsigned
read_flows(uint16_t q, unsigned *next, int *queue)
{
	struct rte_mbuf *m;
	unsigned n = 0;

	for (; rte_eth_rx_burst(guest[RECEIVER].dev, q, &m, 1); n++) {
		uint8_t flow = rte_pktmbuf_mtod(m, uint8_t *)[ETHER_HDR + 21];

		assert_true(flow < N_FLOWS && m->pkt_len - 60 >= next[flow]);
		assert_true(queue[flow] < 0 || queue[flow] == q);
		next[flow] = m->pkt_len - 60 + 1;
		queue[flow] = q;
		rte_pktmbuf_free(m);
	}
	return n;
}

static uint64_t
lost_on_the_way(void)
{
	return receiver_drops(DROP_TX_FULL) + receiver_drops(DROP_HANDOFF_FULL);
}

static void
full_queue_loses_its_own_packets_and_no_others(void **state)
{
	unsigned next[N_FLOWS] = {0}, n_read = 0, n_sent = 0, n_queues = 0;
	int queue[N_FLOWS];

	(void)state;
	memset(queue, -1, sizeof(queue));
	add_receiver_of_queues();
	plug_receiver_queues(pool, N_QUEUES, "");
	wait_queues(N_QUEUES); // which are enabled one after another
	for (unsigned n = 0; n < 3 * RING; n++)
		for (uint8_t flow = 0; flow < N_FLOWS; flow++, n_sent++)
			send_mbuf(SENDER, make_flow_frame(flow, n));
	// All queues are full. Missing packets can only be those for which another worker's ring
	// was full before.
	for (uint64_t stop = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
		lost_on_the_way() < n_sent - N_QUEUES * RING && rte_rdtsc() < stop;)
		;
	for (uint16_t q = 0; q < N_QUEUES; q++) {
		unsigned n = read_flows(q, next, queue);

		n_read += n;
		n_queues += n > 0;
	}
	assert_int_equal(n_read + lost_on_the_way(), n_sent);
	assert_int_equal(n_queues, N_QUEUES);
}

#define WITH_PORTS(test) cmocka_unit_test_setup_teardown(test, add_ports, fixture_remove_all)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_PORTS(ring_without_mergeable_buffers_refuses_what_is_longer_than_one),
		WITH_PORTS(ring_of_mergeable_buffers_refuses_what_is_longer_than_all),
		WITH_PORTS(receiver_that_takes_nothing_loses_what_is_next_after_a_time),
		WITH_PORTS(full_queue_loses_its_own_packets_and_no_others),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/transmit", tests, fixture_start, fixture_stop);
}
