// Senders that wait for a slower link, senders that lose packets instead, and the room that a flood
// leaves to others.
#include "dp_fixture.h"
#include "rtvs/hold.h"

#include <rte_mempool.h>

#include <stdio.h>
#include <string.h>

#define BUFFERS 4096 // of the fixture
#define SLOW_BPS 20000000
#define LONG_FRAME 4000 // bytes, in two buffers
#define UP 2 // number of the guest in whose place a link is

static struct dp_port_cfg
link_cfg(void)
{
	struct dp_port_cfg cfg = port_cfg(UP);

	cfg.type = DP_PORT_ETHDEV;
	cfg.socket[0] = '\0';
	cfg.link_rate_bps = SLOW_BPS;
	snprintf(cfg.devargs, sizeof(cfg.devargs), "net_null0,no-rx=1");
	return cfg;
}

// Frames for guest `i` go to its port, though it sends nothing.
static void
be_known(unsigned i, uint16_t vlan)
{
	struct mac mac = guest_mac(i);
	char err[DP_ERR_SIZE] = "";

	if (dp_mac_add(dp, bridge, &mac, vlan, guest[i].port, err))
		fail_msg("%s", err);
}

static uint32_t
n_queued(unsigned egress, unsigned from)
{
	struct dp_sender f;
	uint32_t pos = 0;

	while (dp_sender_list(dp, guest[egress].port, &pos, &f, 1))
		if (f.port == guest[from].port)
			return f.n_queued;
	return 0;
}

static bool
is_counted(const struct dp_port_stats *s, uint64_t n)
{
	uint64_t drops = 0;

	for (unsigned i = 0; i < DROP_COUNT; i++)
		drops += s->drops[i];
	return s->tx_pkts + (uint64_t)s->queued + drops >= n;
}

// Guest 0 sends n frames to port `to`, each of which is queued, sent or dropped in the end.
static void
flood_with(unsigned to, unsigned n, unsigned len)
{
	uint64_t end;
	struct dp_port_stats s = stats_of(to);
	uint64_t before = s.tx_pkts + (uint64_t)s.queued;

	for (unsigned i = 0; i < DROP_COUNT; i++)
		before += s.drops[i];
	for (unsigned i = 0; i < n; i++)
		send_frame(0, to, 0, len);
	for (end = wait_limit(); rte_rdtsc() < end && !is_counted(&s, before + n);)
		s = stats_of(to);
	assert_true(is_counted(&s, before + n));
}

static void
flood(unsigned to, unsigned n)
{
	flood_with(to, n, 1000);
}

// How long the first worker was without its core, of late.
static uint64_t
stalled_ns(void)
{
	struct dp_stall stalls[DP_STALLS_KEPT];
	uint64_t sum = 0;

	for (unsigned n = dp_worker_stalls(dp, 0, stalls); n; n--)
		sum += stalls[n - 1].took_ns;
	return sum;
}

static void
link_that_drains_holds_its_guest(uint32_t queue, unsigned n)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), link_cfg()};
	uint64_t held_ns = 0, end;
	struct dp_event event;
	bool is_told = false;

	cfgs[0].queue = queue;
	add_port(UP, &cfgs[UP]);
	be_known(UP, 0);
	for (unsigned i = 0; i < UP; i++) {
		add_port(i, &cfgs[i]);
		plug(i, 0, 0);
	}
	wait_link(guest[UP].port, true);
	// A worker without its core sees the flood when all of it has been read, and has nobody to
	// hold.
	for (end = wait_limit(); rte_rdtsc() < end && !stats_of(0).blocked_ns;)
		flood(UP, n);
	// Packets on their way to another worker when the hold begins may find no room. A worker
	// without its core for as long as a hold lasts has not sent when it reads again.
	if (n_workers == 1 && stalled_ns() < HOLD_MAX_NS / 2)
		assert_int_equal(stats_of(UP).drops[DROP_QUEUE_FULL], 0);
	assert_true(stats_of(0).blocked_ns > 0);
	// counted when a hold ends
	for (end = wait_limit(); rte_rdtsc() < end && !held_ns;)
		held_ns = dp_port_held_ns(dp, guest[0].port, guest[UP].port);
	assert_true(held_ns > 0);
	assert_int_equal(dp_port_held_ns(dp, guest[UP].port, guest[0].port), 0);
	assert_int_equal(dp_port_held_ns(dp, guest[1].port, guest[UP].port), 0);
	while (dp_event_next(dp, &event)) {
		if (event.type != DP_EVENT_HOLD)
			continue;
		assert_false(is_told); // once, not for each of the holds
		assert_int_equal(event.port, guest[0].port);
		assert_int_equal(event.value, guest[UP].port);
		is_told = true;
	}
	assert_true(is_told);
	assert_int_equal(stats_of(1).blocked_ns, 0);
	assert_int_equal(stats_of(UP).blocked_ns, 0);
	assert_conserved();
}

static void
link_that_drains_holds_its_guest_which_loses_nothing(void **state)
{
	(void)state;
	link_that_drains_holds_its_guest(DP_QUEUE_MIN, 400);
}

// Its share of the buffers is full long before its queue would be.
static void
guest_with_a_long_queue_is_held_too(void **state)
{
	(void)state;
	link_that_drains_holds_its_guest(DP_QUEUE_MAX, 600);
}

// The link sends a frame a second. Its sender is read again, loses packets at its limit, and
// reaches others.
static void
hold_by_a_link_that_is_too_slow_ends(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), link_cfg()};
	uint64_t begin;

	(void)state;
	cfgs[0].queue = DP_QUEUE_MIN;
	cfgs[0].n_queues = 2; // of two workers, where there are two
	cfgs[UP].link_rate_bps = DP_RATE_MIN;
	add_port(UP, &cfgs[UP]);
	be_known(UP, 0);
	for (unsigned i = 0; i < UP; i++) {
		add_port(i, &cfgs[i]);
		plug(i, 0, 0);
	}
	wait_link(guest[UP].port, true);
	begin = rte_rdtsc();
	flood(UP, 4 * DP_QUEUE_MIN); // held from somewhere in it
	flood(UP, 10); // read when the hold has ended
	assert_true(stats_of(UP).drops[DROP_QUEUE_FULL] > 0);
	assert_true(n_queued(UP, 0) > DP_QUEUE_MIN / 4);
	assert_in_range(dp_port_held_ns(dp, guest[0].port, guest[UP].port), 1, HOLD_MAX_NS);
	// Counted once, and not by each worker.
	assert_in_range(stats_of(0).blocked_ns, 1, ns_since(begin));
	send_frame(0, 1, 0, 60);
	expect_frame(1, 60);
	// The counts of a deleted port are not lost, and not its successor's.
	unplug(0);
	assert_int_equal(dp_port_del(dp, guest[0].port), 0);
	add_port(0, &cfgs[0]);
	plug(0, 0, 0);
	assert_int_equal(stats_of(0).blocked_ns, 0);
	assert_int_equal(dp_port_held_ns(dp, guest[0].port, guest[UP].port), 0);
	assert_conserved();
}

// Each row: a sender or a receiver that causes no hold, however full its queue is.
static void
nobody_is_held_by(void **state, const struct dp_port_cfg *sender, const struct dp_port_cfg *receiver, bool is_mirror)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {*sender, port_cfg(1), *receiver};

	(void)state;
	cfgs[0].queue = DP_QUEUE_MIN;
	cfgs[1].vlan = receiver->vlan;
	cfgs[UP].link_rate_bps = DP_RATE_MIN;
	if (is_mirror) {
		cfgs[UP].bridge[0] = '\0';
		cfgs[0].mirror = DP_MIRROR_RX;
		snprintf(cfgs[0].mirror_to, sizeof(cfgs[0].mirror_to), "%s", cfgs[UP].name);
	}
	add_port(UP, &cfgs[UP]);
	if (cfgs[UP].type == DP_PORT_VHOST)
		plug(UP, 0, 0);
	else
		wait_link(guest[UP].port, true);
	if (!is_mirror)
		be_known(UP, (uint16_t)receiver->vlan);
	for (unsigned i = 0; i < UP; i++) {
		add_port(i, &cfgs[i]);
		plug(i, 0, 0);
	}
	if (is_mirror) {
		be_known(1, 0);
		for (unsigned i = 0; i < 4 * DP_QUEUE_MIN; i++) {
			send_frame(0, 1, 0, 60);
			expect_frame(1, 60); // the copy costs the original nothing
		}
	} else {
		flood(UP, 4 * DP_QUEUE_MIN);
		send_frame(0, 1, 0, 60);
		expect_frame(1, 60);
	}
	assert_true(stats_of(UP).drops[DROP_QUEUE_FULL] > 0);
	assert_int_equal(stats_of(0).blocked_ns, 0);
	assert_int_equal(dp_port_held_ns(dp, guest[0].port, guest[UP].port), 0);
	assert_conserved();
}

static void
guest_holds_nobody(void **state)
{
	struct dp_port_cfg sender = port_cfg(0), receiver = port_cfg(UP);

	nobody_is_held_by(state, &sender, &receiver, false);
}

static void
mirror_target_holds_nobody(void **state)
{
	struct dp_port_cfg sender = port_cfg(0), receiver = link_cfg();

	nobody_is_held_by(state, &sender, &receiver, true);
}

static void
trunk_is_not_held(void **state)
{
	struct dp_port_cfg sender = port_cfg(0), receiver = link_cfg();

	sender.vlan_mode = DP_VLAN_TRUNK;
	sender.vlan = 1;
	receiver.vlan = 1;
	nobody_is_held_by(state, &sender, &receiver, false);
}

// One sender floods many slow guests: buffers are left to others, and to itself for a further
// receiver. share: packets.
static void
flood_takes_its_share(uint32_t mtu, unsigned len, uint32_t share)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	for (unsigned i = 0; i < N_GUESTS; i++) {
		cfgs[i].queue = 4096;
		cfgs[i].mtu = mtu;
		cfgs[i].link_rate_bps = i ? DP_RATE_MIN : 0;
		add_port(i, &cfgs[i]);
		plug(i, 0, 0);
		be_known(i, 0);
	}
	flood_with(1, share + 100, len);
	assert_true(stats_of(1).drops[DROP_QUEUE_FULL] > 0);
	assert_in_range(n_queued(1, 0), share / 2 - 1, share / 2 + 1); // as much as it leaves
	flood_with(2, 10, len);
	assert_int_equal(stats_of(2).drops[DROP_QUEUE_FULL], 0);
	flood_with(2, share, len);
	assert_true(stats_of(2).drops[DROP_QUEUE_FULL] > 0);
	assert_in_range(n_queued(1, 0) + n_queued(2, 0), share / 2, share);
	assert_conserved();
}

static void
flood_takes_its_share_of_buffers_and_no_more(void **state)
{
	(void)state;
	flood_takes_its_share(1500, 1000, BUFFERS / 8 / n_workers);
}

static void
long_frames_take_no_more_buffers(void **state)
{
	(void)state;
	flood_takes_its_share(9000, LONG_FRAME, BUFFERS / 8 / n_workers / 2);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(link_that_drains_holds_its_guest_which_loses_nothing),
		WITH_BRIDGE(guest_with_a_long_queue_is_held_too),
		WITH_BRIDGE(hold_by_a_link_that_is_too_slow_ends),
		WITH_BRIDGE(guest_holds_nobody),
		WITH_BRIDGE(mirror_target_holds_nobody),
		WITH_BRIDGE(trunk_is_not_held),
		WITH_BRIDGE(flood_takes_its_share_of_buffers_and_no_more),
		WITH_BRIDGE(long_frames_take_no_more_buffers),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/backpressure", tests, fixture_start, fixture_stop);
}
