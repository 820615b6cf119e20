// Frames that a segment's nodes do not take, and frames that wait: no node, no room in an inbox, no
// slots, no packet buffers.
#include "segment_fixture.h"

#define MAX_TAKEN 8192 // packet buffers
#define FEW 5 // that no frame of the MTU finds room in

static void
nobody_is_a_reason(void **state)
{
	struct node a = join(path_a, 7);

	(void)state;
	send_frame(GUEST, BROADCAST, 0, 60); // to A, and to no node in B
	(void)get(&a, (uint8_t[64]){0}, NULL);
	wait_drops(OTHER_PORT, DROP_NO_NODE, 1);
	assert_int_equal(drops_of(PORT, DROP_NO_NODE), 0);
	assert_conserved();
	leave(&a);
}

// Frames of one burst have fates of their own, wherever in it they are.
static void
a_burst_loses_only_what_has_no_room(void **state)
{
	struct node stuck = join(path_a, 7), other = join(path_a, 9), b = join(path_b, 8);
	uint8_t to[SEGMENT_BURST], data[2048];

	(void)state;
	put_frame(&stuck, broadcast, 60);
	(void)get(&other, data, NULL);
	expect_at(&b, 60);
	expect_frame(GUEST, 60);
	put_frame(&other, mac_of(8), 60);
	expect_at(&b, 60);
	for (unsigned i = 0; i < INBOX; i++)
		put_frame(&b, mac_of(7), ALONE);
	WAIT_FOR(state_of(PORT).segment.counters.tx_frames == INBOX);
	for (unsigned i = 0; i < SEGMENT_BURST; i++)
		to[i] = i % 3 ? 9 : 7;
	put_burst(&b, to);
	for (unsigned i = 0; i < SEGMENT_BURST; i++)
		if (to[i] == 9)
			assert_int_equal(get(&other, data, NULL), 60);
	wait_drops(PORT, DROP_TX_FULL, (SEGMENT_BURST + 2) / 3);
	assert_int_equal(segment_receive(other.seg, &(struct segment_frame){0}, 1), 0);
	for (unsigned i = 0; i < INBOX; i++)
		assert_int_equal(get(&stuck, data, NULL), ALONE);
	assert_conserved();
	leave(&stuck);
	leave(&other);
	leave(&b);
}

// A node that takes nothing: its inbox is full, further frames are dropped by name; its neighbour
// and the guest lose nothing.
static void
a_stuck_node_holds_up_nobody(void **state)
{
	struct node stuck = join(path_a, 7), other = join(path_a, 9), b = join(path_b, 8);
	static uint8_t data[256];
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 2 * INBOX; i++) {
		put_frame(&b, mac_of(7), 60);
		put_frame(&b, mac_of(9), 61);
		expect_at(&other, 61);
	}
	wait_drops(PORT, DROP_TX_FULL, INBOX);
	send_frame(GUEST, BROADCAST, 0, 62); // to those who have room
	assert_int_equal(get(&other, data, NULL), 62);
	assert_int_equal(get(&b, data, NULL), 62);
	assert_int_equal(drops_of(PORT, DROP_TX_FULL), INBOX);
	while (n < INBOX) {
		assert_int_equal(get(&stuck, data, NULL), 60);
		n++;
	}
	put_frame(&b, mac_of(7), 63);
	expect_at(&stuck, 63);
	assert_conserved();
	leave(&stuck);
	leave(&other);
	leave(&b);
}

// Its own buffers are all that it can fill.
static void
a_node_without_buffers_holds_up_nobody(void **state)
{
	struct node stuck = join(path_a, 7), other = join(path_a, 9), b = join(path_b, 8);
	unsigned n_slots = N_SLOTS / (N_NODES * (N_NODES - 1));

	(void)state;
	for (unsigned i = 0; i < 2 * n_slots; i++) {
		put_frame(&b, mac_of(7), 60);
		put_frame(&b, mac_of(9), 61);
		expect_at(&other, 61);
	}
	wait_drops(PORT, DROP_TX_FULL, n_slots);
	assert_conserved();
	leave(&stuck);
	leave(&other);
	leave(&b);
}

static struct segment_frame held[N_SLOTS];
static unsigned n_held;

// All slots that no other node has.
static void
hold_all(struct node *node)
{
	for (n_held = 0; !segment_reserve(node->seg, 0, 60, &held[n_held]); n_held++)
		;
}

static void
give_back(struct node *node)
{
	while (n_held)
		segment_unreserve(node->seg, &held[--n_held]);
}

// Another node has all slots, except those that the switch has cached. When they come back, all is
// well.
static void
an_empty_pool_costs_frames_by_name(void **state)
{
	struct node a = join(path_a, 7), b = join(path_b, 8);
	uint8_t data[2048];
	unsigned n_got = 0;

	(void)state;
	put_frame(&b, mac_of(7), 60);
	expect_at(&a, 60);
	hold_all(&a);
	for (unsigned i = 0; i < INBOX; i++)
		put_frame(&b, mac_of(7), ALONE);
	WAIT_FOR(drops_of(PORT, DROP_TX_FULL) + state_of(PORT).segment.counters.tx_frames == INBOX + 1);
	assert_true(drops_of(PORT, DROP_TX_FULL) > 0);
	assert_int_equal(state_of(PORT).segment.n_slots_free, 0);
	give_back(&a);
	while (n_got + drops_of(PORT, DROP_TX_FULL) < INBOX) {
		assert_int_equal(get(&a, data, NULL), ALONE);
		n_got++;
	}
	put_frame(&b, mac_of(7), 62);
	expect_at(&a, 62);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// With a rate they wait at the port instead, and are sent when slots are free again.
static void
with_a_schedule_frames_wait_for_slots(void **state)
{
	struct node a = join(path_a, 7), b = join(path_b, 8);
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	struct dp_port_stats stats;
	char err[DP_ERR_SIZE];

	(void)state;
	cfg.link_rate_bps = UINT64_C(100000000000);
	assert_int_equal(dp_port_set(dp, guest[PORT].port, &cfg, err), 0);
	put_frame(&b, mac_of(7), 60);
	expect_at(&a, 60);
	hold_all(&a);
	// More than the switch has cached. The next one to leave waits for 200 ms at most.
	for (unsigned i = 0; i < INBOX; i++)
		put_frame(&b, mac_of(7), ALONE);
	do {
		refresh_stats();
		assert_int_equal(dp_port_stats(dp, guest[PORT].port, &stats), 0);
	} while (stats.queued + (int64_t)stats.tx_pkts + (int64_t)stats.drops[DROP_TX_TIMEOUT] < INBOX + 1);
	assert_int_equal(stats.drops[DROP_TX_FULL], 0);
	give_back(&a);
	for (unsigned i = 0; i < INBOX; i++)
		if (i + drops_of(PORT, DROP_TX_TIMEOUT) < INBOX)
			assert_int_equal(get(&a, (uint8_t[2048]){0}, NULL), ALONE);
	assert_conserved();
	leave(&a);
	leave(&b);
}

static uint64_t
n_sleeps(void)
{
	struct dp_worker_stats s;

	assert_int_equal(dp_worker_stats(dp, 0, &s), 0);
	return s.sleeps;
}

// No event tells a worker that buffers are free again: it does not sleep for long while frames wait
// for them. A port of the lowest rate holds the worker's cached ones.
static void
frames_wait_for_buffers_awake(void **state)
{
	static void *taken[MAX_TAKEN];
	static uint8_t data[MTU];
	struct rte_mempool *buffers = rte_mempool_lookup("rtvs_pkts");
	struct dp_port_cfg cfg = port_cfg(GUEST);
	const struct mac guest_0 = guest_mac(0);
	char err[DP_ERR_SIZE];
	unsigned n = 0, len;
	uint64_t before, end;
	struct node b;

	(void)state;
	if (n_workers > 1)
		skip(); // each has some at hand
	b = join(path_b, 8);
	cfg.mtu = MTU;
	cfg.link_rate_bps = DP_RATE_MIN;
	cfg.queue = MAX_TAKEN;
	assert_int_equal(dp_port_set(dp, guest[GUEST].port, &cfg, err), 0);
	send_frame(GUEST, BROADCAST, 0, 60);
	(void)get(&b, data, NULL);
	rte_mempool_cache_flush(rte_mempool_default_cache(buffers, rte_lcore_id()), buffers);
	while (n < MAX_TAKEN && !rte_mempool_generic_get(buffers, &taken[n], 1, NULL))
		n++;
	address(data, guest_0.b, b.mac);
	WAIT_FOR((put(&b, data, sizeof(data), NULL), rte_mempool_avail_count(buffers) < FEW));
	before = n_sleeps();
	end = wait_limit();
	// of 100 ms there are 10 a second. Housekeeping would wake it
	while (n_sleeps() <= before + 60 * WAIT_S)
		assert_true(rte_rdtsc() < end);
	rte_mempool_generic_put(buffers, taken, n, NULL);
	cfg.link_rate_bps = 0;
	assert_int_equal(dp_port_set(dp, guest[GUEST].port, &cfg, err), 0);
	do {
		struct rte_mbuf *m;

		(void)put(&b, data, 62, NULL);
		m = receive(GUEST);
		len = m->pkt_len;
		rte_pktmbuf_free(m);
	} while (len != 62);
	leave(&b);
}

int
main(int argc, char **argv)
{
#define T_OF(test, add) cmocka_unit_test_setup_teardown(test, add, remove_segments)
#define T(test) T_OF(test, add_segments)
	const struct CMUnitTest tests[] = {
		T(a_burst_loses_only_what_has_no_room),
		T(nobody_is_a_reason),
		T(a_stuck_node_holds_up_nobody),
		T_OF(a_node_without_buffers_holds_up_nobody, add_separate_segments),
		T(an_empty_pool_costs_frames_by_name),
		T(with_a_schedule_frames_wait_for_slots),
		T(frames_wait_for_buffers_awake),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/segment_room", tests, segment_fixture_start, fixture_stop);
}
