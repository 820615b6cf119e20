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

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(guest_that_leaves_and_returns_has_its_port_again),
		WITH_BRIDGE(front_end_that_leaves_at_once_is_explained_and_told_a_few_times),
		WITH_BRIDGE(feature_that_a_port_no_longer_offers_is_named),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/vhost_session", tests, fixture_start, fixture_stop);
}
