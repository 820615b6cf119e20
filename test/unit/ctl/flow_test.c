// Packets of ports through other ports: the same members wherever they are shown, only those with
// packets, and as many as an answer holds.
#include "ctl_fixture.h"

#include <stdio.h>
#include <string.h>

#define MAX_FLOWS 4096 // of an answer to stats.get

// Two ports, and the packets of each through vm1: vm10 has a deadline and is late, vm1 itself sent
// nothing.
static void
add_ports_with_flows(struct fixture *f)
{
	struct dp_sender *flow;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm10\", \"deadline\": \"2ms\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm2\"}");
	flow = fake_dp_flow("vm1", "vm10");
	flow->guaranteed_pkts = 5;
	flow->guaranteed_bytes = 500;
	flow->missed_pkts = 2;
	flow->late_pkts = 1;
	flow->tokens_bytes = 1500;
	hist_add_n(&flow->delay, 1000, 5);
	flow = fake_dp_flow("vm1", "vm2");
	flow->surplus_pkts = 7;
	flow->surplus_bytes = 700;
	flow->n_queued = 3;
	(void)fake_dp_flow("vm1", "vm1");
	(void)fake_dp_flow("vm2", "vm10"); // nothing left yet
}

static json_t *
call(struct fixture *f, const char *method, const char *params)
{
	struct rpc_error err;
	json_t *result = fixture_call(f, method, params, &err);

	assert_non_null(result);
	return result;
}

// Of a list of flows or ports. Borrowed; NULL: none.
static const json_t *
find(const json_t *list, const char *key, const char *name)
{
	json_t *element;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)list, i, element)
		if (!strcmp(json_string_value(json_object_get(element, key)), name))
			return element;
	return NULL;
}

static json_int_t
number(const json_t *object, const char *key)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	return json_integer_value(json_object_get(object, key));
}

static void
list_has_every_flow_of_scheduled_ports(void **state)
{
	struct fixture *f = *state;
	const json_t *flow;
	json_t *list;

	add_ports_with_flows(f);
	list = call(f, "flow.list", NULL);
	assert_int_equal(json_array_size(list), 4);
	json_decref(list);
	list = call(f, "flow.list", "{\"port\": \"vm1\", \"from\": \"vm10\"}");
	assert_int_equal(json_array_size(list), 1);
	flow = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(flow, "deadline")), "2ms");
	assert_int_equal(number(flow, "guaranteed_pkts"), 5);
	assert_int_equal(number(flow, "guaranteed_bytes"), 500);
	assert_int_equal(number(flow, "missed_pkts"), 2);
	assert_int_equal(number(flow, "late_pkts"), 1);
	assert_int_equal(number(flow, "tokens_bytes"), 1500);
	assert_int_equal(number(flow, "p99_ns"), 1000);
	json_decref(list);
	list = call(f, "flow.show", "{\"port\": \"vm1\", \"from\": \"vm10\"}");
	flow = json_object_get(json_array_get(list, 0), "delay");
	assert_int_equal(json_array_size(json_object_get(flow, "buckets")), 1);
	assert_int_equal(number(flow, "count"), 5);
	json_decref(list);
}

static void
senders_that_share_a_place_have_a_name_that_no_port_has(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	const json_t *flow;
	json_t *list;

	add_ports_with_flows(f);
	fake_dp_flow("vm1", NULL)->surplus_pkts = 3;
	list = call(f, "flow.list", "{\"port\": \"vm1\"}");
	flow = find(list, "from", "*");
	assert_non_null(flow);
	assert_int_equal(number(flow, "surplus_pkts"), 3);
	json_decref(list);
	assert_null(fixture_call(f, "port.add", "{\"name\": \"*\"}", &err));
}

static void
stats_have_the_flows_of_each_port_as_the_list_has_them(void **state)
{
	struct fixture *f = *state;
	const json_t *ports, *flows;
	json_t *stats, *list, *of_list;
	size_t i, n = 0;

	add_ports_with_flows(f);
	stats = call(f, "stats.get", NULL);
	list = call(f, "flow.list", NULL);
	ports = json_object_get(stats, "ports");
	assert_int_equal(json_array_size(ports), 3);
	flows = json_object_get(find(ports, "port", "vm1"), "flows");
	json_array_foreach (list, i, of_list) {
		const json_t *same = find(flows, "from", json_string_value(json_object_get(of_list, "from")));

		if (strcmp(json_string_value(json_object_get(of_list, "port")), "vm1") || !same)
			continue;
		assert_true(json_equal(same, of_list));
		n++;
	}
	assert_int_equal(n, 2);
	assert_int_equal(json_array_size(flows), 2);
	assert_true(json_is_true(json_object_get(stats, "flows_complete")));
	json_decref(list);
	json_decref(stats);
	stats = call(f, "stats.get", "{\"port\": \"vm1\"}");
	assert_int_equal(json_array_size(json_object_get(stats, "ports")), 1);
	assert_int_equal(
		json_array_size(json_object_get(json_array_get(json_object_get(stats, "ports"), 0), "flows")), 2);
	json_decref(stats);
}

// A port that has sent nothing has no row, a port without rows no list.
static void
flows_without_packets_are_not_in_stats(void **state)
{
	struct fixture *f = *state;
	const json_t *ports;
	json_t *stats;

	add_ports_with_flows(f);
	stats = call(f, "stats.get", NULL);
	ports = json_object_get(stats, "ports");
	assert_null(find(json_object_get(find(ports, "port", "vm1"), "flows"), "from", "vm1"));
	assert_non_null(find(ports, "port", "vm2"));
	assert_null(json_object_get(find(ports, "port", "vm2"), "flows"));
	assert_null(json_object_get(find(ports, "port", "vm10"), "flows"));
	json_decref(stats);
	// One that lost all of its packets, one whose first packet waits.
	fake_dp_flow("vm2", "vm10")->late_pkts = 1;
	fake_dp_flow("vm10", "vm2")->n_queued = 1;
	stats = call(f, "stats.get", NULL);
	ports = json_object_get(stats, "ports");
	assert_int_equal(json_array_size(json_object_get(find(ports, "port", "vm2"), "flows")), 1);
	assert_int_equal(json_array_size(json_object_get(find(ports, "port", "vm10"), "flows")), 1);
	json_decref(stats);
}

static void
stats_leave_flows_out_when_told(void **state)
{
	struct fixture *f = *state;
	json_t *stats;

	add_ports_with_flows(f);
	stats = call(f, "stats.get", "{\"flows\": false}");
	assert_int_equal(json_array_size(json_object_get(stats, "ports")), 3);
	assert_null(json_object_get(find(json_object_get(stats, "ports"), "port", "vm1"), "flows"));
	assert_true(json_is_true(json_object_get(stats, "flows_complete")));
	json_decref(stats);
}

static void
add_tunnel(struct fixture *f)
{
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"net_null0\", \"mtu\": 1700, \"address\": "
		"\"10.9.0.1/24\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"t\", \"type\": \"geneve\", \"bridge\": \"br0\", \"uplink\": \"up\", \"remote\": "
		"\"10.9.0.2\"}");
}

static void
what_came_through_a_tunnel_is_in_its_list_and_in_stats(void **state)
{
	struct fixture *f = *state;
	const json_t *flow, *of_stats;
	json_t *list, *stats, *value;
	const char *key;

	add_tunnel(f);
	list = call(f, "flow.remote", "{\"port\": \"t\", \"flow\": 3}");
	assert_int_equal(json_array_size(list), 1);
	flow = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(flow, "tunnel")), "t");
	assert_string_equal(json_string_value(json_object_get(flow, "deadline")), "2ms");
	assert_int_equal(number(flow, "received"), 10);
	assert_int_equal(number(flow, "mean_residence_ns"), 1000);
	assert_true(json_is_null(json_object_get(flow, "uncertainty_ns")));
	assert_int_equal(json_array_size(json_object_get(json_object_get(flow, "delay"), "buckets")), 1);
	assert_int_equal(number(json_object_get(flow, "network"), "max_ns"), 4000);
	stats = call(f, "stats.get", NULL);
	of_stats = find(json_object_get(stats, "ports"), "port", "t");
	assert_int_equal(json_array_size(json_object_get(of_stats, "remote_flows")), 1);
	of_stats = json_array_get(json_object_get(of_stats, "remote_flows"), 0);
	json_object_foreach ((json_t *)(uintptr_t)of_stats, key, value)
		assert_true(json_equal(json_object_get(flow, key), value));
	assert_int_equal(json_object_size(flow), json_object_size(of_stats) + 2);
	assert_null(json_object_get(find(json_object_get(stats, "ports"), "port", "up"), "remote_flows"));
	json_decref(list);
	json_decref(stats);
	fixture_refused(f, "flow.remote", "{\"port\": \"t\", \"flow\": 4}", RPC_STATE_ERROR,
		"flow: nothing came of 4 through t");
	fixture_refused(f, "flow.remote", "{\"flow\": 4096}", RPC_INVALID_PARAMS, "flow");
	fixture_refused(f, "flow.remote", "{\"port\": \"up\"}", RPC_INVALID_PARAMS, "up is not of type=geneve");
	fixture_refused(f, "flow.remote", "{\"port\": \"t2\"}", RPC_STATE_ERROR, "t2 does not exist");
}

static void
what_does_not_exist_is_refused(void **state)
{
	struct fixture *f = *state;

	add_ports_with_flows(f);
	fixture_refused(f, "flow.list", "{\"port\": \"vm3\"}", RPC_STATE_ERROR, "vm3 does not exist");
	fixture_refused(f, "flow.show", "{\"from\": \"vm3\"}", RPC_STATE_ERROR, "vm3 does not exist");
	fixture_refused(f, "stats.get", "{\"port\": \"vm3\", \"flows\": true}", RPC_STATE_ERROR, "vm3 does not exist");
	fixture_refused(f, "stats.get", "{\"flows\": \"perhaps\"}", RPC_INVALID_PARAMS, "flows");
	fixture_refused(f, "stats.drops", "{\"flows\": true}", RPC_INVALID_PARAMS, "flows");
}

#define NAME "p%030u" // as long as names may be

// The longest row there is.
static void
fill_flow(unsigned out, unsigned from)
{
	char out_name[RTVS_NAME_SIZE], from_name[RTVS_NAME_SIZE];
	struct dp_sender *flow;

	(void)snprintf(out_name, sizeof(out_name), NAME, out);
	(void)snprintf(from_name, sizeof(from_name), NAME, from);
	flow = fake_dp_flow(out_name, from_name);
	flow->n_queued = UINT32_MAX;
	flow->tokens_bytes = flow->guaranteed_pkts = flow->guaranteed_bytes = flow->surplus_pkts = flow->surplus_bytes =
		flow->missed_pkts = flow->broken_pkts = flow->late_pkts = flow->worst_late_ns = INT64_MAX;
	hist_add_n(&flow->delay, INT64_MAX, INT64_MAX);
}

static void
one_answer_has_so_many_flows_and_says_when_there_are_more(void **state)
{
	struct fixture *f = *state;
	char params[128];
	json_t *stats, *port;
	const json_t *ports;
	size_t n = 0, i;

	for (unsigned k = 0; k < 65; k++) {
		(void)snprintf(params, sizeof(params), "{\"name\": \"" NAME "\", \"deadline\": %llu}", k,
			(unsigned long long)DP_DEADLINE_MAX_NS - 1);
		fixture_ok(f, "port.add", params);
	}
	for (unsigned k = 0; k < MAX_FLOWS; k++)
		fill_flow(k / 64, k % 64);
	stats = call(f, "stats.get", NULL);
	ports = json_object_get(stats, "ports");
	json_array_foreach ((json_t *)(uintptr_t)ports, i, port)
		n += json_array_size(json_object_get(port, "flows"));
	assert_int_equal(n, MAX_FLOWS);
	assert_true(json_is_true(json_object_get(stats, "flows_complete")));
	// A client that has not read the answer before may have this one, too.
	assert_true(json_dumpb(stats, NULL, 0, JSON_COMPACT) < SERVER_MAX_BACKLOG_BYTES / 2);
	json_decref(stats);
	fill_flow(64, 0);
	stats = call(f, "stats.get", NULL);
	ports = json_object_get(stats, "ports");
	assert_int_equal(json_array_size(ports), 65);
	assert_int_equal(json_array_size(json_object_get(json_array_get(ports, 63), "flows")), 64);
	assert_null(json_object_get(json_array_get(ports, 64), "flows"));
	assert_true(json_is_false(json_object_get(stats, "flows_complete")));
	json_decref(stats);
	(void)snprintf(params, sizeof(params), "{\"port\": \"" NAME "\"}", 64u);
	stats = call(f, "stats.get", params);
	assert_true(json_is_true(json_object_get(stats, "flows_complete")));
	json_decref(stats);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(list_has_every_flow_of_scheduled_ports),
		T(senders_that_share_a_place_have_a_name_that_no_port_has),
		T(stats_have_the_flows_of_each_port_as_the_list_has_them),
		T(flows_without_packets_are_not_in_stats),
		T(stats_leave_flows_out_when_told),
		T(what_came_through_a_tunnel_is_in_its_list_and_in_stats),
		T(what_does_not_exist_is_refused),
		T(one_answer_has_so_many_flows_and_says_when_there_are_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
