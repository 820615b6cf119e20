// Bridges, static MACs, names and limits. Ports as their callers see them are in port_test.c.
#include "ctl_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void
bridges_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *list;

	fixture_ok(f, "bridge.add", "{\"name\": \"br0\", \"mac_limit\": 100, \"mac_age\": \"10s\"}");
	fixture_refused(f, "bridge.add", "{\"name\": \"br0\"}", RPC_STATE_ERROR, "br0 exists");
	fixture_ok(f, "bridge.set", "{\"name\": \"br0\", \"mac_limit\": 200}");
	fixture_refused(f, "bridge.set", "{\"name\": \"br1\"}", RPC_STATE_ERROR, "br1 does not exist");
	fixture_refused(f, "bridge.add", "{\"name\": \"br1\", \"mac_limit\": 15}", RPC_INVALID_PARAMS, "mac_limit");
	fixture_ok(f, "bridge.set", "{\"name\": \"br0\", \"mac_moves\": 1000000}");
	fixture_refused(
		f, "bridge.set", "{\"name\": \"br0\", \"mac_moves\": 1000001}", RPC_INVALID_PARAMS, "mac_moves");
	fixture_ok(f, "port.add", "{\"name\": \"p\", \"bridge\": \"br0\"}");
	fixture_refused(f, "bridge.del", "{\"name\": \"br0\"}", RPC_STATE_ERROR, "1 ports");
	list = fixture_call(f, "bridge.list", NULL, &err);
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "mac_limit")), 200);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "mac_age")), "10s");
	assert_int_equal(json_array_size(json_object_get(json_array_get(list, 0), "ports")), 1);
	json_decref(list);
	fixture_ok(f, "port.del", "{\"name\": \"p\"}");
	fixture_ok(f, "bridge.del", "{\"name\": \"br0\"}");
	fixture_refused(f, "bridge.show", "{\"name\": \"br0\"}", RPC_STATE_ERROR, "does not exist");
}

static void
limit_of_bridges(void **state)
{
	char params[64];

	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++) {
		(void)snprintf(params, sizeof(params), "{\"name\": \"b%u\"}", i);
		fixture_ok(*state, "bridge.add", params);
	}
	fixture_refused(*state, "bridge.add", "{\"name\": \"more\"}", RPC_STATE_ERROR, "limit");
}

static void
pools_lend_each_device_once(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *pool;

	fixture_ok(f, "pool.add", "{\"name\": \"fast\", \"devices\": \"0000:03:00.2,0000:03:00.3\"}");
	fixture_refused(f, "port.add", "{\"name\": \"a\", \"vdpa\": \"pool:none\"}", RPC_STATE_ERROR,
		"no pool 'none'; pool.add makes one; free in pools: 0000:03:00.2 (fast), 0000:03:00.3 (fast)");
	fixture_ok(f, "port.add", "{\"name\": \"a\", \"vdpa\": \"pool:fast\"}");
	fixture_refused(f, "port.add", "{\"name\": \"b\", \"vdpa\": \"0000:03:00.2,class=vdpa\"}", RPC_STATE_ERROR,
		"0000:03:00.2 belongs to port a; free in pools: 0000:03:00.3 (fast)");
	fixture_ok(f, "port.add", "{\"name\": \"b\", \"vdpa\": \"0000:03:00.3,class=vdpa\"}");
	fixture_refused(
		f, "port.add", "{\"name\": \"c\", \"vdpa\": \"pool:fast\"}", RPC_STATE_ERROR, "no pool has a free");
	fixture_refused(f, "pool.del", "{\"name\": \"fast\"}", RPC_STATE_ERROR, "port a has a device");
	fixture_ok(f, "port.del", "{\"name\": \"b\"}");
	pool = fixture_call(f, "pool.show", "{\"name\": \"fast\"}", &err);
	assert_string_equal(json_string_value(json_array_get(json_object_get(pool, "free"), 0)), "0000:03:00.3");
	json_decref(pool);
	fixture_ok(f, "pool.set", "{\"name\": \"fast\", \"devices\": \"0000:03:00.4\"}");
	// a keeps its own
	assert_string_equal(f->ctl->plane.live->ports[0]->cfg.device, "0000:03:00.2");
	fixture_ok(f, "port.del", "{\"name\": \"a\"}");
	fixture_ok(f, "pool.del", "{\"name\": \"fast\"}");
}
static void
limit_of_pools(void **state)
{
	char params[96];

	for (unsigned i = 0; i < MODEL_MAX_POOLS; i++) {
		(void)snprintf(params, sizeof(params), "{\"name\": \"p%u\", \"devices\": \"d%u\"}", i, i);
		fixture_ok(*state, "pool.add", params);
	}
	fixture_refused(*state, "pool.add", "{\"name\": \"more\", \"devices\": \"d\"}", RPC_STATE_ERROR, "limit");
}
static void
limit_of_ports(void **state)
{
	char params[64];

	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		(void)snprintf(params, sizeof(params), "{\"name\": \"p%u\"}", i);
		fixture_ok(*state, "port.add", params);
	}
	fixture_refused(*state, "port.add", "{\"name\": \"more\"}", RPC_STATE_ERROR, "limit");
}

static void
limit_of_static_macs(void **state)
{
	char params[128];

	fixture_ok(*state, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(*state, "port.add", "{\"name\": \"p\", \"bridge\": \"br0\"}");
	for (unsigned i = 0; i < DP_MAX_STATIC_MACS; i++) {
		(void)snprintf(params, sizeof(params),
			"{\"bridge\": \"br0\", \"port\": \"p\", \"mac\": \"52:54:00:00:%02x:%02x\"}", i >> 8, i & 255);
		fixture_ok(*state, "mac.add", params);
	}
	fixture_refused(*state, "mac.add", "{\"bridge\": \"br0\", \"port\": \"p\", \"mac\": \"52:54:00:01:00:00\"}",
		RPC_STATE_ERROR, "limit");
}

static void
static_macs_belong_to_ports_of_the_bridge(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *result;

	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "bridge.add", "{\"name\": \"br1\"}");
	fixture_ok(f, "port.add", "{\"name\": \"p\", \"bridge\": \"br0\"}");
	fixture_refused(f, "mac.add", "{\"bridge\": \"br1\", \"port\": \"p\", \"mac\": \"52:54:00:00:00:01\"}",
		RPC_STATE_ERROR, "not on bridge br1");
	fixture_refused(f, "mac.add", "{\"bridge\": \"br0\", \"port\": \"p\", \"mac\": \"53:54:00:00:00:01\"}",
		RPC_INVALID_PARAMS, "unicast");
	fixture_ok(f, "mac.add", "{\"bridge\": \"br0\", \"port\": \"p\", \"mac\": \"52:54:00:00:00:01\", \"vlan\": 5}");
	fixture_refused(f, "mac.add",
		"{\"bridge\": \"br0\", \"port\": \"p\", \"mac\": \"52:54:00:00:00:01\", \"vlan\": 5}", RPC_STATE_ERROR,
		"already");
	result = fixture_call(f, "mac.list", "{\"bridge\": \"br0\"}", &err);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(json_object_get(result, "macs"), 0), "port")), "p");
	assert_true(json_is_null(json_object_get(result, "next")));
	json_decref(result);
	fixture_refused(
		f, "mac.del", "{\"bridge\": \"br0\", \"mac\": \"52:54:00:00:00:01\"}", RPC_STATE_ERROR, "VLAN 0");
	// A port that moves takes none along.
	fixture_ok(f, "port.set", "{\"name\": \"p\", \"bridge\": \"br1\"}");
	assert_int_equal(model_bridge_find(f->ctl->plane.live, "br0")->n_macs, 0);
	fixture_ok(f, "mac.add", "{\"bridge\": \"br1\", \"port\": \"p\", \"mac\": \"52:54:00:00:00:01\"}");
	fixture_ok(f, "mac.del", "{\"bridge\": \"br1\", \"mac\": \"52:54:00:00:00:01\"}");
	assert_int_equal(model_bridge_find(f->ctl->plane.live, "br1")->n_macs, 0);
}

static void
long_mac_lists_come_in_parts(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	char params[128];
	size_t n = 0;
	json_t *result;
	json_int_t pos = 0;

	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add", "{\"name\": \"p\", \"bridge\": \"br0\"}");
	for (unsigned i = 0; i < 150; i++) {
		(void)snprintf(params, sizeof(params),
			"{\"bridge\": \"br0\", \"port\": \"p\", \"mac\": \"52:54:00:00:00:%02x\"}", i);
		fixture_ok(f, "mac.add", params);
	}
	for (bool is_end = false; !is_end; n++) {
		(void)snprintf(params, sizeof(params), "{\"bridge\": \"br0\", \"pos\": %d, \"max\": 70}", (int)pos);
		result = fixture_call(f, "mac.list", params, &err);
		assert_int_equal(json_array_size(json_object_get(result, "macs")), n < 2 ? 70 : 10);
		is_end = json_is_null(json_object_get(result, "next"));
		pos = json_integer_value(json_object_get(result, "next"));
		json_decref(result);
	}
	assert_int_equal(n, 3);
}

static void
names_are_in_peoples_order(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add", "{\"name\": \"vm10\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm2\"}");
	fixture_ok(f, "port.add", "{\"name\": \"a\"}");
	assert_string_equal(f->ctl->plane.live->ports[0]->cfg.name, "a");
	assert_string_equal(f->ctl->plane.live->ports[1]->cfg.name, "vm2");
	assert_string_equal(f->ctl->plane.live->ports[2]->cfg.name, "vm10");
}

static void
refused_by_the_datapath_changes_nothing(void **state)
{
	struct fixture *f = *state;

	(void)fake_dp_fail(1, -ENOMEM);
	fixture_refused(f, "bridge.add", "{\"name\": \"br0\"}", RPC_STATE_ERROR, "injected");
	assert_int_equal(f->ctl->plane.live->n_bridges, 0);
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	(void)fake_dp_fail(1, -EBUSY);
	fixture_refused(f, "bridge.del", "{\"name\": \"br0\"}", RPC_STATE_ERROR, "br0");
	(void)fake_dp_fail(1, -ENODEV);
	fixture_refused(f, "port.add", "{\"name\": \"p\"}", RPC_STATE_ERROR, "injected");
	assert_int_equal(f->ctl->plane.live->n_ports, 0);
	fixture_ok(f, "port.add", "{\"name\": \"p\", \"mtu\": 1400}");
	(void)fake_dp_fail(1, -EINVAL);
	fixture_refused(f, "port.set", "{\"name\": \"p\", \"mtu\": 1300}", RPC_INVALID_PARAMS, "injected");
	assert_int_equal(f->ctl->plane.live->ports[0]->cfg.mtu, 1400);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(bridges_come_and_go),
		T(limit_of_bridges),
		T(pools_lend_each_device_once),
		T(limit_of_pools),
		T(limit_of_ports),
		T(limit_of_static_macs),
		T(static_macs_belong_to_ports_of_the_bridge),
		T(long_mac_lists_come_in_parts),
		T(names_are_in_peoples_order),
		T(refused_by_the_datapath_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
