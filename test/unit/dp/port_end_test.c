// Ports that are removed while packets wait for them: what waits leaves if it can in time, nothing
// new comes, and nobody else notices.
#include "dp_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DRAIN_MAX_NS 100000000 // as in port_end.h
#define N_WAITING 30 // packets, for as many ms
#define N_MORE 500 // packets than a guest's ring has room for
#define RING 256
#define MANY 20 // attempts, of a machine that is busy otherwise

// Takes what the guest has room for, and forgets it.
static unsigned
read_all(unsigned i)
{
	struct rte_mbuf *m[64];
	unsigned sum = 0;
	uint16_t n;

	while ((n = rte_eth_rx_burst(guest[i].dev, 0, m, 64))) {
		rte_pktmbuf_free_bulk(m, n);
		sum += n;
	}
	return sum;
}

// Until the port of that name is closed. Returns how many packets guest 2 got meanwhile, where it
// reads.
static unsigned
wait_drained(const char *name, bool reads, uint64_t *ret_dropped)
{
	uint64_t end = wait_limit();
	struct dp_event event;
	unsigned sum = 0;

	for (;;) {
		assert_true(rte_rdtsc() < end);
		if (reads)
			sum += read_all(2);
		if (!dp_event_next(dp, &event) || event.type != DP_EVENT_DRAINED)
			continue;
		assert_string_equal(event.cause, name);
		*ret_dropped = event.value;
		return sum + (reads ? read_all(2) : 0);
	}
}

// Guest 2 reads nothing, its ring is full, and more waits for its port, which is removed.
static void
remove_a_port_whose_guest_does_not_read(struct dp_port_cfg cfgs[N_GUESTS])
{
	uint64_t end = wait_limit();

	for (unsigned i = 0; i < N_GUESTS; i++)
		cfgs[i] = port_cfg(i);
	cfgs[1].deadline_ns = 1000000000; // for its sake others are scheduled
	add_guests(cfgs);
	send_frame(2, BROADCAST, 0, 60); // it is known: nothing is flooded
	expect_frame(0, 60);
	expect_frame(1, 60);
	for (unsigned i = 0; i < N_MORE; i++)
		send_frame(0, 2, 0, 100);
	while (stats_of(0).rx_pkts < N_MORE) // none comes later, to be flooded
		assert_true(rte_rdtsc() < end);
	assert_true(stats_of(2).queued > 0);
	assert_int_equal(dp_port_del(dp, guest[2].port), 0);
}

static void
what_waits_for_a_removed_port_leaves(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	unsigned n_got = 0, n = 0;
	uint64_t n_dropped;

	(void)state;
	cfgs[2].link_rate_bps = 8000000; // 1,000 bytes a ms
	add_guests(cfgs);
	do {
		uint64_t end = wait_limit(), n_before;

		send_frame(2, BROADCAST, 0, 60);
		expect_frame(0, 60);
		n_before = stats_of(0).rx_pkts;
		for (unsigned i = 0; i < N_WAITING; i++)
			send_frame(0, 2, 0, 1000);
		while (stats_of(0).rx_pkts < n_before + N_WAITING)
			assert_true(rte_rdtsc() < end);
		if (stats_of(2).queued) {
			assert_int_equal(dp_port_del(dp, guest[2].port), 0);
			assert_conserved();
			n_got = wait_drained("p2", true, &n_dropped);
			assert_int_equal(n_got + n_dropped, N_WAITING);
		} else {
			assert_int_equal(dp_port_del(dp, guest[2].port), 0);
		}
		assert_conserved();
		unplug(2);
		add_port(2, &cfgs[2]);
		plug(2, 0, 0);
	} while (n_got < N_WAITING && ++n < MANY);
	assert_int_equal(n_got, N_WAITING);
}

static void
guest_that_does_not_read_delays_its_ports_end_no_further(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS];
	uint64_t begin = rte_rdtsc(), n_dropped;

	(void)state;
	remove_a_port_whose_guest_does_not_read(cfgs);
	// Others go on meanwhile.
	for (unsigned i = 0; i < 50; i++) {
		send_frame(0, 1, 0, 60 + i);
		expect_frame(1, 60 + i);
	}
	assert_conserved();
	(void)wait_drained("p2", false, &n_dropped);
	assert_true(ns_since(begin) >= DRAIN_MAX_NS);
	assert_in_range(n_dropped, 1, N_MORE - RING + 1);
	assert_conserved();
	send_frame(0, 1, 0, 60);
	expect_frame(1, 60);
}

static void
removed_port_takes_nothing_and_nothing_leads_to_it(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS], other = port_cfg(1);
	unsigned old;
	struct dp_port_stats s;
	struct dp_port_state port_state;
	uint64_t n_dropped;
	char err[DP_ERR_SIZE];

	(void)state;
	remove_a_port_whose_guest_does_not_read(cfgs);
	old = guest[2].port;
	assert_int_equal(dp_port_state(dp, old, &port_state), -ENOENT);
	assert_int_equal(dp_port_stats(dp, old, &s), -ENOENT);
	assert_int_equal(dp_port_set(dp, old, &cfgs[2], err), -ENOENT);
	assert_int_equal(dp_port_del(dp, old), -ENOENT);
	send_frame(2, BROADCAST, 0, 61); // nobody reads it
	send_frame(0, 2, 0, 62); // whose place is not known any more
	expect_frame(1, 62);
	// As a port that a guest has moved to: the MAC is not bound to the old one.
	other.allowed_macs.n = 1;
	other.allowed_macs.mac[0] = guest_mac(2);
	set_port(1, &other);
	send_mbuf(1, make_frame(2, BROADCAST, 0, 63));
	expect_frame(0, 63);
	send_frame(0, 2, 0, 64);
	expect_frame(1, 64);
	expect_nothing(0);
	(void)wait_drained("p2", false, &n_dropped);
	send_frame(0, 2, 0, 65);
	expect_frame(1, 65);
	assert_int_equal(dp_bridge_del(dp, bridge), -EBUSY); // by the other two
}

static void
number_is_free_when_the_port_is_gone(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS], more[] = {port_cfg(3), port_cfg(4)};
	unsigned old, id;
	uint64_t n_dropped;

	(void)state;
	remove_a_port_whose_guest_does_not_read(cfgs);
	old = guest[2].port;
	id = new_port(&more[0]);
	assert_int_not_equal(id, old);
	(void)wait_drained("p2", false, &n_dropped);
	assert_int_equal(new_port(&more[1]), old);
}

// A new port of the same name, or with the same device, waits for nothing.
static void
port_that_takes_its_place_ends_it(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS], other;
	uint64_t n_dropped;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		remove_a_port_whose_guest_does_not_read(cfgs);
		other = cfgs[2];
		if (i)
			snprintf(other.name, sizeof(other.name), "other");
		add_port(2, &other);
		(void)wait_drained("p2", false, &n_dropped);
		assert_true(n_dropped > 0);
		assert_conserved();
		for (unsigned k = 0; k < N_GUESTS; k++) {
			unplug(k);
			assert_int_equal(dp_port_del(dp, guest[k].port), 0);
		}
	}
}

static void
packets_are_accounted_for_while_ports_drain(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	(void)state;
	cfgs[2].link_rate_bps = 1000000;
	add_guests(cfgs);
	for (unsigned i = 0; i < 30; i++) {
		for (unsigned k = 0; k < 20; k++)
			send_frame(k % 2, k % 5 ? 2 : BROADCAST, 0, 60 + 20 * k);
		if (i % 3 == 1)
			assert_int_equal(dp_port_del(dp, guest[2].port), 0);
		if (i % 3 == 2)
			add_port(2, &cfgs[2]);
		if (i % 2)
			take_events();
		assert_conserved();
		(void)read_all(0);
		(void)read_all(1);
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(what_waits_for_a_removed_port_leaves),
		WITH_BRIDGE(guest_that_does_not_read_delays_its_ports_end_no_further),
		WITH_BRIDGE(removed_port_takes_nothing_and_nothing_leads_to_it),
		WITH_BRIDGE(number_is_free_when_the_port_is_gone),
		WITH_BRIDGE(port_that_takes_its_place_ends_it),
		WITH_BRIDGE(packets_are_accounted_for_while_ports_drain),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/port_end", tests, fixture_start, fixture_stop);
}
