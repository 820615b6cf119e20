// The life of ports under traffic, and configurations that are refused.
#include "dp_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
}

static void
what_is_fixed_cannot_be_set_and_names_are_unique(void **state)
{
	struct dp_port_cfg cfg = port_cfg(0), other;
	char err[DP_ERR_SIZE];
	unsigned id;

	(void)state;
	add_port(0, &cfg);
	other = cfg;
	other.n_queues = 2;
	assert_int_equal(dp_port_set(dp, guest[0].port, &other, err), -EINVAL);
	assert_non_null(strstr(err, "queues"));
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EEXIST);
	other = port_cfg(1);
	memcpy(other.socket, cfg.socket, sizeof(other.socket));
	assert_int_equal(dp_port_add(dp, &other, &id, err), -EADDRINUSE);
	assert_int_equal(dp_bridge_del(dp, bridge), -EBUSY);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(port_that_is_down_takes_and_gives_nothing_until_it_is_up),
		WITH_BRIDGE(guest_that_leaves_and_returns_has_its_port_again),
		WITH_BRIDGE(packets_are_accounted_for_while_ports_come_and_go),
		WITH_BRIDGE(wrong_configurations_are_refused_with_the_field_named),
		WITH_BRIDGE(what_is_fixed_cannot_be_set_and_names_are_unique),
	};

	if (argc > 1)
		n_workers = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("port", tests, fixture_start, fixture_stop);
}
