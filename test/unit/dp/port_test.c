// The life of ports under traffic.
#include "dp_fixture.h"

#include <dirent.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define N_CHANGED 1000
#define N_AT_ONCE 8

static void
port_that_is_down_takes_and_gives_nothing_until_it_is_up(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	char err[DP_ERR_SIZE];

	(void)state;
	add_guests(cfgs);
	cfgs[1].admin_up = false;
	assert_int_equal(dp_port_set(dp, guest[1].port, &cfgs[1], err), 0);
	wait_link(guest[1].port, false);
	send_frame(0, BROADCAST, 0, 60);
	expect_frame(2, 60);
	unplug(1);
	cfgs[1].admin_up = true;
	assert_int_equal(dp_port_set(dp, guest[1].port, &cfgs[1], err), 0);
	plug(1, 0, 0);
	send_frame(0, BROADCAST, 0, 61);
	expect_frame(1, 61);
}

static void
packets_are_accounted_for_while_ports_come_and_go(void **state)
{
	struct dp_port_cfg cfg = port_cfg(2);

	(void)state;
	plain_guests();
	for (unsigned i = 0; i < 40; i++) {
		for (unsigned k = 0; k < 50; k++)
			send_frame(k % 2, k % 5 ? 1 - k % 2 : BROADCAST, 0, 60 + k);
		if (i % 4 == 1)
			assert_int_equal(dp_port_del(dp, guest[2].port), 0);
		if (i % 4 == 3)
			add_port(2, &cfg);
		assert_conserved();
		for (unsigned k = 0; k < 2; k++) {
			struct rte_mbuf *m[64];
			uint16_t n = rte_eth_rx_burst(guest[k].dev, 0, m, 64);

			rte_pktmbuf_free_bulk(m, n);
		}
	}
}

// What the process holds. Parts of libraries are made once, with the first ports.
struct holdings {
	uint64_t descriptors, heap_bytes, dpdk_bytes, virtual_bytes;
};

static struct holdings
holdings(void)
{
	struct dp_system_info info;
	struct holdings h = {.heap_bytes = mallinfo2().uordblks};
	DIR *dir = opendir("/proc/self/fd");
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages;

	assert_non_null(dir);
	assert_non_null(f);
	while (readdir(dir))
		h.descriptors++;
	closedir(dir);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	(void)fclose(f);
	h.virtual_bytes = pages * 4096;
	dp_system_info(dp, &info);
	h.dpdk_bytes = info.memory_bytes - info.memory_free_bytes;
	return h;
}

static unsigned
add(const struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";
	unsigned id;

	if (dp_port_add(dp, cfg, &id, err))
		fail_msg("%s: %s", cfg->name, err);
	return id;
}

// Of ports that come, are scheduled, change and go, a few at a time, beside two that talk.
static void
change_ports(unsigned n)
{
	unsigned id[N_AT_ONCE];
	char err[DP_ERR_SIZE] = "";

	for (unsigned i = 0; i < n + N_AT_ONCE; i++) {
		struct dp_port_cfg cfg = port_cfg(N_GUESTS + i % N_AT_ONCE);

		if (i >= N_AT_ONCE)
			assert_int_equal(dp_port_del(dp, id[i % N_AT_ONCE]), 0);
		if (i < n) {
			id[i % N_AT_ONCE] = add(&cfg);
			cfg.deadline_ns = 1000000 + i;
			cfg.link_rate_bps = i % 2 ? 1000000000 : 0;
			assert_int_equal(dp_port_set(dp, id[i % N_AT_ONCE], &cfg, err), 0);
		}
		for (unsigned k = 0; k < 4; k++)
			send_frame(k % 2, k / 2 ? BROADCAST : 1 - k % 2, 0, 60 + k);
		for (unsigned k = 0; k < 2; k++) {
			struct rte_mbuf *m[64];

			rte_pktmbuf_free_bulk(m, rte_eth_rx_burst(guest[k].dev, 0, m, 64));
		}
		if (i % 50 == 0)
			assert_conserved();
	}
}

static void
thousand_ports_leave_nothing_behind(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct holdings before, after;

	(void)state;
	cfgs[0].deadline_ns = 1000000;
	add_guests(cfgs);
	change_ports(2 * N_AT_ONCE);
	(void)holdings(); // a buffer that this frees stays in the C library's cache
	before = holdings();
	change_ports(N_CHANGED);
	after = holdings();
	print_message("bytes of heap %" PRIu64 " to %" PRIu64 ", of DPDK %" PRIu64 " to %" PRIu64 ", in all %" PRIu64
		      " to %" PRIu64 "\n",
		before.heap_bytes, after.heap_bytes, before.dpdk_bytes, after.dpdk_bytes, before.virtual_bytes,
		after.virtual_bytes);
	assert_true(after.descriptors <= before.descriptors);
	assert_true(after.dpdk_bytes <= before.dpdk_bytes);
	assert_true(after.heap_bytes <= before.heap_bytes + N_CHANGED); // not a byte a port
	// Stacks of threads are kept.
	assert_true(after.virtual_bytes <= before.virtual_bytes + (UINT64_C(64) << 20));
	assert_conserved();
}

static void
as_many_ports_as_the_limit_are_there_and_one_more_is_refused(void **state)
{
	struct dp_port_cfg cfg;
	char err[DP_ERR_SIZE] = "";
	unsigned id;

	(void)state;
	// These ports have no packets, so that more workers and ThreadSanitizer see nothing more.
	if (UNIT_HAS_TSAN || (UNIT_HAS_ASAN && n_workers > 1))
		skip();
	// Each change waits for the workers' turns, which are long with so many ports.
	dp_halt(dp);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		cfg = port_cfg(i);
		cfg.admin_up = false; // it waits, without a socket
		cfg.link_rate_bps = 1000000000;
		assert_int_equal(add(&cfg), i);
	}
	cfg = port_cfg(DP_MAX_PORTS);
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -ENOSPC);
	assert_string_equal(err, "there are already 4096 ports");
	assert_int_equal(dp_port_del(dp, 1234), 0);
	assert_int_equal(add(&cfg), 1234);
	assert_int_equal(dp_resume(dp), 0);
	refresh_stats();
	dp_halt(dp);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		assert_int_equal(dp_port_del(dp, i), 0);
	assert_int_equal(dp_resume(dp), 0);
}

// The longest frame of a guest, in many buffers. No port receives it, but it was taken from the
// guest.
static void
send_longest(unsigned from)
{
	struct rte_mbuf *m = make_frame(from, 1, 0, 4000);

	while (m->pkt_len < 64000)
		assert_int_equal(rte_pktmbuf_chain(m, make_frame(from, 1, 0, 4000)), 0);
	send_mbuf(from, m);
}

// A frame at the old rate is paid for in more than a minute; the next one waits in the ring while
// the rate changes.
static void
what_was_owed_at_an_old_max_rate_is_forgiven(void **state)
{
	struct dp_port_cfg cfgs[N_GUESTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_system_cfg busy = system_cfg(DSCP_DEFAULT), idle = busy;
	char err[DP_ERR_SIZE] = "";

	(void)state;
	busy.idle = DP_IDLE_BUSY; // workers ask at every moment
	assert_int_equal(dp_system_set(dp, &busy, err), 0);
	cfgs[0].max_rate_bps = DP_RATE_MIN;
	add_guests(cfgs);
	for (unsigned i = 0; i < 10; i++)
		send_longest(0);
	cfgs[0].max_rate_bps = UINT64_C(1000000000);
	assert_int_equal(dp_port_set(dp, guest[0].port, &cfgs[0], err), 0);
	send_frame(0, 1, 0, 60);
	expect_frame(1, 60);
	assert_int_equal(dp_system_set(dp, &idle, err), 0);
	assert_conserved();
}

// Before the kernel is asked, which the machine of this test may not have.
static void
vduse_device_that_no_kernel_has_is_refused(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0);
	char err[DP_ERR_SIZE] = "";
	unsigned id;

	(void)state;
	cfg.type = DP_PORT_VDUSE;
	cfg.n_queues = 2;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "queues: 2 is out of range 1 to 1"));
	cfg.n_queues = 1;
	snprintf(cfg.name, sizeof(cfg.name), "control");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "name: "));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(port_that_is_down_takes_and_gives_nothing_until_it_is_up),
		WITH_BRIDGE(packets_are_accounted_for_while_ports_come_and_go),
		WITH_BRIDGE(thousand_ports_leave_nothing_behind),
		WITH_BRIDGE(as_many_ports_as_the_limit_are_there_and_one_more_is_refused),
		WITH_BRIDGE(vduse_device_that_no_kernel_has_is_refused),
		WITH_BRIDGE(what_was_owed_at_an_old_max_rate_is_forgiven),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/port", tests, fixture_start, fixture_stop);
}
