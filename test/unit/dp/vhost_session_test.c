// Front-ends that come and go: one that returns, and one that leaves again at once, as a QEMU does
// whose guest uses features that the port does not offer.
#include "dp_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FLAPS_TOLD 3 // in a row, as in vhost_session.c
#define MORE_FLAPS 20
// More than a queue of DP_QUEUE_MIN and what was taken out of it for the guest.
#define MORE_WAIT 120

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

// Connects and leaves, and waits until the port has seen both. Returns how many connections
// subscribers heard of.
static unsigned
flap(unsigned n)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	uint64_t end = wait_limit();
	struct dp_event event;
	unsigned told = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/p0", fixture_dir);
	// the link of the one before goes down before its connection
	while (state_of(0).is_connected)
		assert_true(rte_rdtsc() < end);
	for (unsigned i = 0; i < n; i++) {
		uint64_t gone = state_of(0).n_disconnects;
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
		close(fd);
		while (state_of(0).n_disconnects == gone)
			assert_true(rte_rdtsc() < end);
	}
	while (dp_event_next(dp, &event))
		told += event.type == DP_EVENT_CONNECT && event.is_up;
	return told;
}

static void
front_end_that_leaves_at_once_is_explained_and_told_a_few_times(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0);

	(void)state;
	add_port(0, &cfg);
	assert_int_equal(flap(FLAPS_TOLD - 1), FLAPS_TOLD - 1);
	assert_string_equal(state_of(0).detail, "listening");
	assert_int_equal(flap(1), 1);
	assert_non_null(strstr(state_of(0).detail, "perhaps uses tso, csum, packed or queues"));
	assert_int_equal(flap(MORE_FLAPS), 0);
	assert_int_equal(state_of(0).n_connects, FLAPS_TOLD + MORE_FLAPS);
	// One whose driver is ready ends it.
	plug(0, 0, 0);
	unplug(0);
	wait_link(guest[0].port, false);
	assert_null(strstr(state_of(0).detail, "leaves at once"));
	assert_int_equal(flap(1), 1);
}

static void
feature_that_a_port_no_longer_offers_is_named(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0);

	(void)state;
	add_port(0, &cfg);
	plug(0, 0, RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO);
	assert_int_equal(dp_port_del(dp, guest[0].port), 0);
	unplug(0);
	cfg.tso = false;
	add_port(0, &cfg);
	(void)flap(FLAPS_TOLD);
	assert_non_null(strstr(state_of(0).detail, "its guest uses tso, which"));
	// The port as it was offers it.
	assert_int_equal(dp_port_del(dp, guest[0].port), 0);
	cfg.tso = true;
	add_port(0, &cfg);
	(void)flap(FLAPS_TOLD);
	assert_null(strstr(state_of(0).detail, "its guest uses tso, which"));
}

static int
connect_to(unsigned i)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	uint64_t n = state_of(i).n_connects, end = wait_limit();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/p%u", fixture_dir, i);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	while (state_of(i).n_connects == n)
		assert_true(rte_rdtsc() < end);
	return fd;
}

static void
leave(unsigned i)
{
	uint64_t n = state_of(i).n_disconnects, end = wait_limit();

	unplug(i);
	while (state_of(i).n_disconnects == n)
		assert_true(rte_rdtsc() < end);
}

static uint64_t
total_drops(void)
{
	uint64_t n = 0;

	for (unsigned reason = 0; reason < DROP_COUNT; reason++)
		n += drops_of(0, reason) + drops_of(1, reason);
	return n;
}

static unsigned
n_link_events(unsigned port)
{
	struct dp_event event;
	unsigned n = 0;

	while (dp_event_next(dp, &event))
		n += event.type == DP_EVENT_LINK && event.port == port;
	return n;
}

// Of guest 0 only few packets wait at a port.
static void
guests_with_short_queues(void)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	cfgs[0].queue = DP_QUEUE_MIN;
	add_guests(cfgs);
}

// Its port goes on, as it is moved several times. More packets wait than its sender's `queue`.
static void
packets_wait_for_a_guest_that_moves(void **state)
{
	(void)state;
	guests_with_short_queues();
	(void)n_link_events(guest[1].port);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t before = total_drops(), received = stats_of(0).rx_pkts, end = wait_limit();
		int other;

		assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
		other = connect_to(1);
		leave(1);
		assert_true(state_of(1).is_link_up);
		for (unsigned k = 0; k < MORE_WAIT; k++)
			send_frame(0, 1, 0, 60 + k);
		while (stats_of(0).rx_pkts < received + MORE_WAIT)
			assert_true(rte_rdtsc() < end);
		assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
		plug(1, 0, 0);
		for (unsigned k = 0; k < MORE_WAIT; k++)
			expect_frame(1, 60 + k);
		assert_int_equal(total_drops(), before);
		assert_int_equal(n_link_events(guest[1].port), 0);
		close(other);
	}
}

// Of one sender as many as its share of all buffers.
static void
packets_that_wait_for_it_are_bounded(void **state)
{
	uint64_t end = wait_limit();
	// Half of that share, which is an eighth, and what was taken out for the guest already.
	unsigned n = 4096 / 8, n_lost, n_others = 0;
	int other;

	(void)state;
	guests_with_short_queues();
	assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
	other = connect_to(1);
	leave(1);
	for (unsigned k = 0; k < n; k++)
		send_frame(0, 1, 0, 60);
	while (stats_of(0).rx_pkts < n)
		assert_true(rte_rdtsc() < end);
	n_lost = (unsigned)drops_of(1, DROP_QUEUE_FULL);
	assert_true(n_lost >= n / 2 - 64 && n_lost <= n - MORE_WAIT && n_lost == total_drops());
	send_frame(2, 1, 0, 99);
	assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
	plug(1, 0, 0);
	for (unsigned k = 0; k < n - n_lost + 1; k++) {
		struct rte_mbuf *m = receive(1);

		n_others += m->pkt_len == 99;
		rte_pktmbuf_free(m);
	}
	assert_int_equal(n_others, 1);
	expect_nothing(1);
	close(other);
}

// Its guest is not one that uses features which the port lacks.
static void
move_that_fails_is_not_explained(void **state)
{
	(void)state;
	plain_guests();
	for (unsigned i = 0; i < 2 * FLAPS_TOLD; i++) {
		uint64_t gone = state_of(1).n_disconnects, end = wait_limit();

		assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
		close(connect_to(1));
		while (state_of(1).n_disconnects == gone)
			assert_true(rte_rdtsc() < end);
	}
	assert_true(state_of(1).is_link_up);
	unplug(1);
	wait_link(guest[1].port, false);
	assert_null(strstr(state_of(1).detail, "leaves at once"));
}

// It is a guest that has left, then.
static void
guest_that_does_not_arrive_has_no_link(void **state)
{
	uint64_t end = wait_limit();
	int other;

	(void)state;
	plain_guests();
	// The one where it should have arrived ends.
	assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
	other = connect_to(1);
	leave(1);
	assert_true(state_of(1).is_link_up);
	close(other);
	wait_link(guest[1].port, false);
	plug(1, 0, 0);
	// Or it stays, and does nothing.
	assert_int_equal(dp_port_move(dp, guest[1].port, UINT64_MAX / 2), 0);
	other = connect_to(1);
	leave(1);
	assert_true(state_of(1).is_link_up);
	while (state_of(1).is_link_up) {
		assert_true(rte_rdtsc() < end);
		dp_housekeeping(dp);
	}
	close(other);
	// Nobody else is there, so it does not move.
	leave(2);
	assert_false(state_of(2).is_link_up);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(guest_that_leaves_and_returns_has_its_port_again),
		WITH_BRIDGE(front_end_that_leaves_at_once_is_explained_and_told_a_few_times),
		WITH_BRIDGE(feature_that_a_port_no_longer_offers_is_named),
		WITH_BRIDGE(packets_wait_for_a_guest_that_moves),
		WITH_BRIDGE(packets_that_wait_for_it_are_bounded),
		WITH_BRIDGE(move_that_fails_is_not_explained),
		WITH_BRIDGE(guest_that_does_not_arrive_has_no_link),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/vhost_session", tests, fixture_start, fixture_stop);
}
