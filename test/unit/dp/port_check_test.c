// Configurations of ports that are refused.
#include "dp_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void
wrong_configurations_are_refused_with_the_field_named(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0);
	char err[DP_ERR_SIZE];
	unsigned id;

	(void)state;
	cfg.mtu = DP_MTU_MAX + 1;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "mtu"));
	cfg = port_cfg(0);
	cfg.n_queues = DP_MAX_QUEUES + 1;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "queues"));
	cfg = port_cfg(0);
	cfg.min_rate_bps = DP_RATE_MIN - 1;
	cfg.burst_bytes = 15000;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "min_rate"));
	cfg.min_rate_bps = DP_RATE_MIN;
	cfg.burst_bytes = cfg.mtu + ETHER_HDR - 1; // smaller than a packet
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "burst"));
	cfg = port_cfg(0);
	cfg.deadline_ns = DP_DEADLINE_MAX_NS + 1;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "deadline"));
	cfg = port_cfg(0);
	cfg.dscp = DP_DSCP_DEADLINE + 1;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "dscp"));
	cfg = port_cfg(0);
	snprintf(cfg.bridge, sizeof(cfg.bridge), "nowhere");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -ENOENT);
	assert_non_null(strstr(err, "nowhere"));
	cfg = port_cfg(0);
	snprintf(cfg.socket, sizeof(cfg.socket), "/nonexistent/dir/sock");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/dir"));
	cfg = port_cfg(0);
	snprintf(cfg.socket_owner, sizeof(cfg.socket_owner), "no-such-user");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "no-such-user"));
	cfg = port_cfg(0);
	cfg.type = DP_PORT_ETHDEV;
	snprintf(cfg.devargs, sizeof(cfg.devargs), "net_nothing0");
	assert_int_not_equal(dp_port_add(dp, &cfg, &id, err), 0);
	assert_non_null(strstr(err, "devargs"));
	cfg = port_cfg(0);
	snprintf(cfg.device, sizeof(cfg.device), "vdpa_nothing0");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "bridge: the device vdpa_nothing0 moves"));
	cfg.bridge[0] = '\0';
	assert_int_not_equal(dp_port_add(dp, &cfg, &id, err), 0);
	assert_non_null(strstr(err, "vdpa: no driver"));
	snprintf(cfg.mirror_to, sizeof(cfg.mirror_to), "other");
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_non_null(strstr(err, "mirror_to: the device"));
}

static void
names_are_unique(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0), other = port_cfg(1);
	char err[DP_ERR_SIZE];
	unsigned id;

	(void)state;
	add_port(0, &cfg);
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EEXIST);
	memcpy(other.socket, cfg.socket, sizeof(other.socket));
	assert_int_equal(dp_port_add(dp, &other, &id, err), -EADDRINUSE);
	assert_int_equal(dp_bridge_del(dp, bridge), -EBUSY);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(wrong_configurations_are_refused_with_the_field_named),
		WITH_BRIDGE(names_are_unique),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/port_check", tests, fixture_start, fixture_stop);
}
