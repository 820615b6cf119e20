// Ports as flows: a dry model's admissions, and its messages when it refuses.
#include "admit.h"
#include "ctl_fixture.h"

#include <errno.h>
#include <string.h>

#define MBIT UINT64_C(1000000)

static struct dp_port_cfg
port(const char *name, uint64_t deadline_ns, uint64_t min_rate_bps, uint64_t burst_bytes)
{
	struct dp_port_cfg cfg = {.bridge = "br0",
		.mtu = 1500,
		.n_queues = 1,
		.admin_up = true,
		.weight = 1,
		.queue = 512,
		.deadline_ns = deadline_ns,
		.min_rate_bps = min_rate_bps,
		.burst_bytes = burst_bytes};

	(void)snprintf(cfg.name, sizeof(cfg.name), "%s", name);
	(void)snprintf(cfg.socket, sizeof(cfg.socket), "/tmp/%s.sock", name);
	return cfg;
}

// A bridge with an uplink of 100 Mbit/s: 12.5 bytes a microsecond.
static struct model *
uplink_model(void)
{
	const struct dp_system_cfg system = {0};
	const struct dp_bridge_cfg bridge = {.name = "br0", .mac_limit = 100, .mac_age_ns = UINT64_C(1000000000)};
	struct dp_port_cfg up = port("up", 0, 0, 0);
	struct model *m = model_create(&system);
	char err[DP_ERR_SIZE];

	assert_non_null(m);
	up.link_rate_bps = 100 * MBIT;
	assert_int_equal(model_bridge_add(m, &bridge, err), 0);
	assert_int_equal(model_port_add(m, &up, err), 0);
	return m;
}

static void
what_fits_is_taken_and_one_more_is_refused(void **state)
{
	struct dp_port_cfg a = port("a", 2000000, 40 * MBIT, 10000), b = port("b", 3000000, 40 * MBIT, 10000);
	struct dp_port_cfg c = port("c", 4000000, 30 * MBIT, 10000);
	struct model *m = uplink_model();
	char err[DP_ERR_SIZE] = "";

	(void)state;
	assert_int_equal(model_port_add(m, &a, err), 0);
	assert_int_equal(model_port_add(m, &b, err), 0);
	assert_int_equal(model_port_add(m, &c, err), -ENOSPC);
	assert_non_null(strstr(err, "min_rate: port up carries 12.5MB/s, 13.75MB/s would be reserved"));
	assert_non_null(strstr(err, "for c would fit"));
	assert_non_null(strstr(err, "min_rate to 20Mbit"));
	assert_null(model_port_find(m, "c"));
	c.min_rate_bps = 20 * MBIT;
	assert_int_equal(model_port_add(m, &c, err), 0);
	model_destroy(m);
}

static void
deadline_that_cannot_be_kept_is_refused_with_the_time(void **state)
{
	struct dp_port_cfg a = port("a", 1000000, 10 * MBIT, 15000);
	struct model *m = uplink_model();
	char err[DP_ERR_SIZE] = "";

	(void)state;
	// By 1 ms less 50 us 11,875 bytes leave; 15,000 and a packet that has begun may be due.
	assert_int_equal(model_port_add(m, &a, err), -ENOSPC);
	assert_non_null(
		strstr(err, "deadline: port up cannot keep a's: by t=1ms 16522B may be due, it carries 11875B"));
	assert_non_null(strstr(err, "deadline from 1372us"));
	a.deadline_ns = 1372000;
	assert_int_equal(model_port_add(m, &a, err), 0);
	a.deadline_ns = 1371000;
	assert_int_equal(model_port_set(m, &a, err), -ENOSPC);
	model_destroy(m);
}

static void
egress_rate_that_keeps_too_little_is_refused(void **state)
{
	struct dp_port_cfg a = port("a", 2000000, 40 * MBIT, 10000), up;
	struct model *m = uplink_model();
	char err[DP_ERR_SIZE] = "";

	(void)state;
	assert_int_equal(model_port_add(m, &a, err), 0);
	up = model_port_find(m, "up")->cfg;
	up.link_rate_bps = 39 * MBIT;
	assert_int_equal(model_port_set(m, &up, err), -ENOSPC);
	assert_int_equal(model_port_find(m, "up")->cfg.link_rate_bps, 100 * MBIT);
	model_destroy(m);
}

// Every sender has a guarantee, and the last in order of deadlines may still be delayed by a packet
// beyond one.
static void
surplus_of_guaranteed_senders_may_have_begun(void **state)
{
	struct dp_port_cfg a = port("a", 330000, 10 * MBIT, 1518), b = port("b", 330000, 10 * MBIT, 1518);
	struct model *m = uplink_model();
	char err[DP_ERR_SIZE] = "";

	(void)state;
	// 330 us less 50 carry 3,500 bytes: two bursts, 3,044, and no third packet.
	assert_int_equal(model_port_add(m, &a, err), 0);
	assert_int_equal(model_port_add(m, &b, err), -ENOSPC);
	assert_non_null(strstr(err, "4566B may be due"));
	model_destroy(m);
}

// A burst of one frame is one with its tags, here and in the scheduler.
static void
burst_of_a_frame_counts_as_it_leaves(void **state)
{
	struct dp_port_cfg a = port("a", 330000, 10 * MBIT, 1514), b = port("b", 330000, 10 * MBIT, 1514);
	struct model *m = uplink_model();
	char err[DP_ERR_SIZE] = "";

	(void)state;
	assert_int_equal(model_port_add(m, &a, err), 0);
	assert_int_equal(model_port_add(m, &b, err), -ENOSPC);
	assert_non_null(strstr(err, "4566B may be due"));
	assert_int_equal(dp_bucket_bytes(1514, 1500, false), 1522);
	assert_int_equal(dp_bucket_bytes(1514, 1500, true), 1632);
	assert_int_equal(dp_bucket_bytes(1632, 1500, true), 1632);
	assert_int_equal(dp_bucket_bytes(1633, 1500, true), 1633);
	model_destroy(m);
}

static void
force_is_taken_and_counts_for_nobody(void **state)
{
	struct dp_port_cfg a = port("a", 100000, 90 * MBIT, 15000), b = port("b", 3000000, 90 * MBIT, 10000);
	struct model *m = uplink_model();
	char err[DP_ERR_SIZE] = "";

	(void)state;
	a.force = true;
	assert_int_equal(model_port_add(m, &a, err), 0);
	assert_true(admit_is_broken(m, &a));
	assert_int_equal(model_port_add(m, &b, err), 0);
	assert_false(admit_is_broken(m, &b));
	model_destroy(m);
}

static void
other_bridges_do_not_count(void **state)
{
	const struct dp_bridge_cfg bridge = {.name = "br1", .mac_limit = 100, .mac_age_ns = UINT64_C(1000000000)};
	struct dp_port_cfg a = port("a", 100000, 900 * MBIT, 15000);
	struct model *m = uplink_model();
	char err[DP_ERR_SIZE] = "";

	(void)state;
	assert_int_equal(model_bridge_add(m, &bridge, err), 0);
	(void)snprintf(a.bridge, sizeof(a.bridge), "br1");
	assert_int_equal(model_port_add(m, &a, err), 0);
	(void)snprintf(a.bridge, sizeof(a.bridge), "br0");
	assert_int_equal(model_port_set(m, &a, err), -ENOSPC);
	model_destroy(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_is_taken_and_one_more_is_refused),
		cmocka_unit_test(deadline_that_cannot_be_kept_is_refused_with_the_time),
		cmocka_unit_test(egress_rate_that_keeps_too_little_is_refused),
		cmocka_unit_test(surplus_of_guaranteed_senders_may_have_begun),
		cmocka_unit_test(burst_of_a_frame_counts_as_it_leaves),
		cmocka_unit_test(force_is_taken_and_counts_for_nobody),
		cmocka_unit_test(other_bridges_do_not_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
