// The promises of rtvs/dp.h about ports, bridges and addresses, run against the datapath and
// against the fake of src/ctl's tests: a result of one holds for the other.
#include "../unit.h"
#include "cfg_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_MANY 3 // more than one look at a list takes

static struct dp *dp;

static int
start(void **state)
{
	struct dp_system_cfg cfg = system_cfg(DSCP_DEFAULT);
	char err[DP_ERR_SIZE] = "";

	(void)state;
	if (!mkdtemp(fixture_dir) || dp_init(&cfg, &dp, err)) {
		print_error("dp_init: %s\n", err);
		return -1;
	}
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	dp_fini(dp);
	return rmdir(fixture_dir);
}

// Of the datapath as it was before the case.
static int
remove_all(void **state)
{
	struct dp_port_state ignored;

	(void)state;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (!dp_port_state(dp, i, &ignored))
			assert_int_equal(dp_port_del(dp, i), 0);
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		(void)dp_bridge_del(dp, i);
	return 0;
}

static unsigned
add_bridge(unsigned i)
{
	struct dp_bridge_cfg cfg = bridge_cfg(i);
	char err[DP_ERR_SIZE] = "";
	unsigned id = UINT32_MAX;

	if (dp_bridge_add(dp, &cfg, &id, err))
		fail_msg("bridge %u: %s", i, err);
	return id;
}

static unsigned
add_port(unsigned i)
{
	struct dp_port_cfg cfg = port_cfg(i);
	char err[DP_ERR_SIZE] = "";
	unsigned id = UINT32_MAX;

	if (dp_port_add(dp, &cfg, &id, err))
		fail_msg("port %u: %s", i, err);
	return id;
}

// A call was refused for this reason, and in words.
static void
expect_refused(int expected, int rc, const char *err)
{
	assert_int_equal(rc, expected);
	assert_true(err[0]);
}

static unsigned
n_ports(void)
{
	struct dp_port_state ignored;
	unsigned n = 0;

	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		n += !dp_port_state(dp, i, &ignored);
	return n;
}

static void
test_numbers_are_the_lowest_that_are_free(void **state)
{
	(void)state;
	assert_int_equal(add_bridge(0), 0);
	assert_int_equal(add_bridge(1), 1);
	assert_int_equal(dp_bridge_del(dp, 0), 0);
	assert_int_equal(add_bridge(0), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(add_port(i), i);
	assert_int_equal(dp_port_del(dp, 1), 0);
	assert_int_equal(add_port(3), 1);
	assert_int_equal(add_port(4), 3);
}

static void
test_names_are_unique(void **state)
{
	struct dp_bridge_cfg bridge = bridge_cfg(0);
	struct dp_port_cfg port = port_cfg(0);
	char err[DP_ERR_SIZE] = "", err2[DP_ERR_SIZE] = "";
	unsigned id = 77;

	(void)state;
	add_bridge(0);
	add_port(0);
	expect_refused(-EEXIST, dp_bridge_add(dp, &bridge, &id, err), err);
	snprintf(port.socket, sizeof(port.socket), "%s/other", fixture_dir);
	expect_refused(-EEXIST, dp_port_add(dp, &port, &id, err2), err2);
	assert_int_equal(id, 77);
	assert_int_equal(n_ports(), 1);
}

static void
test_what_is_not_there(void **state)
{
	struct dp_port_cfg port = port_cfg(0);
	struct dp_bridge_cfg bridge = bridge_cfg(0);
	const struct mac mac = {{2, 0, 0, 0, 0, 1}};
	struct dp_port_state port_state;
	struct dp_port_stats stats;
	char err[DP_ERR_SIZE] = "";
	struct dp_mac macs[1];
	uint32_t pos = 0;
	unsigned id;

	(void)state;
	expect_refused(-ENOENT, dp_port_add(dp, &port, &id, err), err); // no bridge
	for (unsigned i = 0; i < 2; i++) {
		unsigned none = i ? DP_MAX_PORTS : 5;

		assert_int_equal(dp_port_set(dp, none, &port, err), -ENOENT);
		assert_int_equal(dp_port_del(dp, none), -ENOENT);
		assert_int_equal(dp_port_state(dp, none, &port_state), -ENOENT);
		assert_int_equal(dp_port_stats(dp, none, &stats), -ENOENT);
		assert_int_equal(dp_port_n_macs(dp, none), 0);
		none = i ? DP_MAX_BRIDGES : 5;
		assert_int_equal(dp_bridge_set(dp, none, &bridge, err), -ENOENT);
		assert_int_equal(dp_bridge_del(dp, none), -ENOENT);
		assert_int_equal(dp_bridge_n_macs(dp, none), 0);
		assert_int_equal(dp_mac_add(dp, none, &mac, 0, 0, err), -ENOENT);
		assert_int_equal(dp_mac_del(dp, none, &mac, 0), -ENOENT);
		assert_int_equal(dp_mac_list(dp, none, &pos, macs, 1), 0);
	}
}

static void
test_bridge_with_ports_stays(void **state)
{
	(void)state;
	add_bridge(0);
	add_port(0);
	assert_int_equal(dp_bridge_del(dp, 0), -EBUSY);
	assert_int_equal(dp_port_del(dp, 0), 0);
	assert_int_equal(dp_bridge_del(dp, 0), 0);
}

static void
test_bridges_at_their_limit(void **state)
{
	struct dp_bridge_cfg cfg = bridge_cfg(DP_MAX_BRIDGES);
	char err[DP_ERR_SIZE] = "";
	unsigned id;

	(void)state;
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		assert_int_equal(add_bridge(i), i);
	expect_refused(-ENOSPC, dp_bridge_add(dp, &cfg, &id, err), err);
	assert_int_equal(dp_bridge_del(dp, 3), 0);
	assert_int_equal(add_bridge(DP_MAX_BRIDGES), 3);
}

static void
test_new_port_has_counted_nothing(void **state)
{
	static const struct dp_port_stats nothing;
	struct dp_port_stats stats;

	(void)state;
	add_bridge(0);
	add_port(0);
	assert_int_equal(dp_stats_refresh(dp), 0);
	assert_int_equal(dp_port_stats(dp, 0, &stats), 0);
	assert_memory_equal(&stats, &nothing, sizeof(stats));
}

// A list is read in looks of any size; each entry comes once.
static void
test_addresses_are_listed_once(void **state)
{
	struct mac mac = {{2, 0, 0, 0, 0, 0}};
	unsigned seen = 0, n = 0, got;
	char err[DP_ERR_SIZE] = "";
	struct dp_mac macs[2];
	uint32_t pos = 0;

	(void)state;
	add_bridge(0);
	add_port(0);
	for (uint8_t i = 0; i < N_MANY; i++) {
		mac.b[5] = i;
		assert_int_equal(dp_mac_add(dp, 0, &mac, 7, 0, err), 0);
	}
	assert_int_equal(dp_bridge_n_macs(dp, 0), N_MANY);
	while ((got = dp_mac_list(dp, 0, &pos, macs, 2))) {
		for (unsigned i = 0; i < got; i++) {
			assert_true(macs[i].is_static && macs[i].vlan == 7 && macs[i].port == 0);
			seen |= 1u << macs[i].mac.b[5];
		}
		n += got;
	}
	assert_int_equal(n, N_MANY);
	assert_int_equal(seen, (1u << N_MANY) - 1);
	assert_int_equal(dp_mac_del(dp, 0, &mac, 7), 0);
	assert_int_equal(dp_mac_del(dp, 0, &mac, 7), -ENOENT);
	// of another VLAN
	assert_int_equal(dp_mac_del(dp, 0, &(struct mac){{2, 0, 0, 0, 0, 0}}, 8), -ENOENT);
	assert_int_equal(dp_bridge_n_macs(dp, 0), N_MANY - 1);
}

static void
test_addresses_go_with_their_port(void **state)
{
	const struct mac mac = {{2, 0, 0, 0, 0, 1}};
	char err[DP_ERR_SIZE] = "";

	(void)state;
	add_bridge(0);
	add_port(0);
	add_port(1);
	assert_int_equal(dp_mac_add(dp, 0, &mac, 0, 1, err), 0);
	assert_int_equal(dp_port_del(dp, 1), 0);
	assert_int_equal(dp_bridge_n_macs(dp, 0), 0);
}

static void
test_one_capture_a_port(void **state)
{
	char err[DP_ERR_SIZE] = "", err2[DP_ERR_SIZE] = "";
	uint64_t lost;

	(void)state;
	add_bridge(0);
	add_port(0);
	add_port(1);
	assert_int_equal(dp_capture_start(dp, 5, "", 64, err), -ENOENT);
	expect_refused(-EINVAL, dp_capture_start(dp, 0, "nonsense", 64, err), err);
	assert_int_equal(dp_capture_start(dp, 0, "", 64, err), 0);
	expect_refused(-EBUSY, dp_capture_start(dp, 0, "", 64, err2), err2);
	assert_int_equal(dp_capture_start(dp, 1, "", 64, err), 0);
	dp_capture_stop(dp, 0, &lost);
	assert_int_equal(dp_capture_start(dp, 0, "", 64, err), 0);
}

#define CASE(test) cmocka_unit_test_teardown(test, remove_all)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_numbers_are_the_lowest_that_are_free),
		CASE(test_names_are_unique),
		CASE(test_what_is_not_there),
		CASE(test_bridge_with_ports_stays),
		CASE(test_bridges_at_their_limit),
		CASE(test_new_port_has_counted_nothing),
		CASE(test_addresses_are_listed_once),
		CASE(test_addresses_go_with_their_port),
		CASE(test_one_capture_a_port),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
