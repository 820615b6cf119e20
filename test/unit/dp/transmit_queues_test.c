// A burst to a device of several queues: each flow has one queue and keeps its order, and a queue
// costs one call. Packets that a queue refuses or has no room for are refused or left, once,
// whatever the other queues do.
#include "eal_fixture.h"
#include "path/transmit.h"

#include <stdlib.h>

#define N_QUEUES 4
#define N_FLOWS 16
#define N_MBUFS 255
#define SIZE 60
#define PORT_AT 34 // of the source port in an IPv4 packet without options

static struct view *view;
static struct worker w;
static struct port_path port;
static const struct view_port entry = {.port = &port};
static const struct view_block block = {.port = {&entry}};

static struct {
	unsigned n_calls[N_QUEUES], n_taken;
	uint16_t room[N_QUEUES]; // packets that the queue takes
	uint16_t refuses; // the queue that takes none ever, N_QUEUES: none
	uint16_t next[N_FLOWS]; // number of each flow's packet
	int queue[N_FLOWS]; // -1: not known
} device;

static uint16_t
fake_tx(struct device *ignored, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	uint16_t done = RTE_MIN(n, device.room[q]);

	(void)ignored;
	assert_true(q < N_QUEUES && n <= PORT_BURST);
	device.n_calls[q]++;
	for (uint16_t i = 0; i < done; i++) {
		uint16_t flow = pkts[i]->vlan_tci;

		assert_int_equal(pkts[i]->vlan_tci_outer, device.next[flow]++);
		assert_true(device.queue[flow] < 0 || device.queue[flow] == q);
		device.queue[flow] = q;
		if (q == device.refuses)
			port_refuse(refused, i, DROP_REFUSED);
		else
			rte_pktmbuf_free(pkts[i]);
	}
	device.room[q] = (uint16_t)(device.room[q] - done);
	device.n_taken += q == device.refuses ? 0 : done;
	return done;
}

static const struct port_io fake_io = {.tx = fake_tx};

static int
start(void **state)
{
	(void)state;
	view = calloc(1, sizeof(*view));
	w.port = aligned_alloc(RTE_CACHE_LINE_SIZE, DP_MAX_PORTS * sizeof(*w.port));
	if (start_eal(N_MBUFS) || !view || !w.port)
		return -1;
	port.device.io = &fake_io;
	view->block[0] = &block;
	return 0;
}

static int
stop(void **state)
{
	free(w.port);
	free(view);
	return stop_eal(state);
}

static int
begin(void **state)
{
	(void)state;
	memset(w.port, 0, sizeof(*w.port));
	memset(&device, 0, sizeof(device));
	memset(device.queue, -1, sizeof(device.queue));
	for (unsigned q = 0; q < N_QUEUES; q++)
		device.room[q] = UINT16_MAX;
	device.refuses = N_QUEUES;
	port.device.n_txq = N_QUEUES;
	return 0;
}

static int
end(void **state)
{
	(void)state;
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	assert_int_equal(w.port[0].c.tx_pkts, device.n_taken);
	assert_int_equal(w.port[0].c.tx_bytes, device.n_taken * SIZE);
	return 0;
}

// Packets of all flows in turn. The mbuf's VLAN fields, which nothing here looks at, have the flow
// and the number.
static void
make_burst(struct rte_mbuf **pkts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		uint8_t *data;

		pkts[i] = pkt_make(pool, SIZE);
		assert_non_null(pkts[i]);
		data = rte_pktmbuf_mtod(pkts[i], uint8_t *);
		memset(data, 0, SIZE);
		data[12] = 0x08;
		data[14] = 0x45;
		data[17] = SIZE - 14;
		data[23] = 17; // UDP
		data[PORT_AT] = (uint8_t)(i % N_FLOWS);
		pkts[i]->vlan_tci = i % N_FLOWS;
		pkts[i]->vlan_tci_outer = (uint16_t)(device.next[i % N_FLOWS] + i / N_FLOWS);
	}
}

static unsigned
sum_of_calls(void)
{
	unsigned sum = 0;

	for (unsigned q = 0; q < N_QUEUES; q++)
		sum += device.n_calls[q];
	return sum;
}

static void
burst_costs_a_call_a_queue_and_flows_keep_their_order(void **state)
{
	struct rte_mbuf *pkts[PORT_BURST];

	(void)state;
	for (unsigned k = 0; k < 3; k++) {
		make_burst(pkts, PORT_BURST);
		transmit_steer(view, 0, pkts, PORT_BURST);
		assert_int_equal(transmit(&w, view, 0, pkts, PORT_BURST), PORT_BURST);
	}
	for (unsigned q = 0; q < N_QUEUES; q++)
		assert_int_equal(device.n_calls[q], 3);
	assert_int_equal(device.n_taken, 3 * PORT_BURST);
}

static void
all_that_may_be_staged_is_sorted(void **state)
{
	struct rte_mbuf *pkts[WORKER_STAGE];

	(void)state;
	make_burst(pkts, WORKER_STAGE);
	transmit_steer(view, 0, pkts, WORKER_STAGE);
	assert_int_equal(transmit(&w, view, 0, pkts, WORKER_STAGE), WORKER_STAGE);
	assert_in_range(sum_of_calls(), N_QUEUES, N_QUEUES + 1); // one may have more than a burst
	assert_int_equal(device.n_taken, WORKER_STAGE);
}

// As packets that wait in a scheduler, which returns them in an order of its own, while the guest
// takes queues out of use.
static void
packets_that_are_mixed_again_are_sorted_again(void **state)
{
	struct rte_mbuf *pkts[PORT_BURST], *mixed[PORT_BURST];

	(void)state;
	for (uint32_t n_txq = N_QUEUES; n_txq; n_txq /= 2) {
		begin(state);
		make_burst(pkts, PORT_BURST);
		memcpy(mixed, pkts, sizeof(pkts));
		transmit_steer(view, 0, pkts, PORT_BURST);
		port.device.n_txq = n_txq;
		assert_int_equal(transmit(&w, view, 0, mixed, PORT_BURST), PORT_BURST);
		assert_int_equal(sum_of_calls(), n_txq);
		assert_int_equal(device.n_taken, PORT_BURST);
	}
}

static void
full_queue_leaves_its_packets_in_their_order(void **state)
{
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t sum = 0, left;

	(void)state;
	make_burst(pkts, PORT_BURST);
	device.room[1] = 3;
	transmit_steer(view, 0, pkts, PORT_BURST);
	sum = transmit(&w, view, 0, pkts, PORT_BURST);
	assert_in_range(sum, 3, PORT_BURST - 1);
	assert_int_equal(sum, device.n_taken);
	left = (uint16_t)(PORT_BURST - sum);
	assert_int_equal(transmit(&w, view, 0, pkts + sum, left), 0); // it is full still
	device.room[1] = UINT16_MAX;
	assert_int_equal(transmit(&w, view, 0, pkts + sum, left), left);
	assert_int_equal(device.n_taken, PORT_BURST);
}

static void
queue_that_refuses_loses_its_own_packets_only(void **state)
{
	struct rte_mbuf *pkts[PORT_BURST];
	uint64_t refused;

	(void)state;
	make_burst(pkts, PORT_BURST);
	device.refuses = 2;
	transmit_steer(view, 0, pkts, PORT_BURST);
	assert_int_equal(transmit(&w, view, 0, pkts, PORT_BURST), PORT_BURST);
	refused = w.port[0].c.drops[DROP_REFUSED];
	assert_in_range(refused, 1, PORT_BURST - 1);
	assert_int_equal(device.n_taken + refused, PORT_BURST);
}

static void
one_queue_takes_a_burst_as_it_is(void **state)
{
	struct rte_mbuf *pkts[PORT_BURST];

	(void)state;
	port.device.n_txq = 1;
	make_burst(pkts, PORT_BURST);
	for (unsigned i = 0; i < PORT_BURST; i++)
		*pkt_txq(pkts[i]) = (uint16_t)i; // of another life
	transmit_steer(view, 0, pkts, PORT_BURST);
	assert_int_equal(transmit(&w, view, 0, pkts, PORT_BURST), PORT_BURST);
	assert_int_equal(device.n_calls[0], 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(burst_costs_a_call_a_queue_and_flows_keep_their_order),
		CASE(all_that_may_be_staged_is_sorted),
		CASE(packets_that_are_mixed_again_are_sorted_again),
		CASE(full_queue_leaves_its_packets_in_their_order),
		CASE(queue_that_refuses_loses_its_own_packets_only),
		CASE(one_queue_takes_a_burst_as_it_is),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
