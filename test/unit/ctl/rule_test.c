// Rules of a port: what add, del and list mean, refusals and limits.
#include "ctl_fixture.h"
#include "rtvs/dp_rules.h"

#include <stdio.h>
#include <string.h>

// Takes the value.
static void
assert_json(json_t *value, const char *text)
{
	json_t *wanted = json_loads(text, 0, NULL);

	assert_non_null(wanted);
	if (!json_equal(value, wanted))
		fail_msg("not as wanted: %s", json_dumps(value, 0));
	json_decref(wanted);
	json_decref(value);
}

static void
rules_are_by_match_and_priority(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	json_t *list;

	fixture_ok(f, "port.add", "{\"name\": \"p\"}");
	fixture_ok(f, "rule.add", "{\"port\": \"p\", \"rule\": \"tcp,tp_dst=23,actions=drop\"}");
	fixture_ok(f, "rule.add", "{\"port\": \"p\", \"rule\": \"priority=40000,arp,actions=allow\"}");
	fixture_ok(f, "rule.add", "{\"port\": \"p\", \"rule\": \"tcp,tp_dst=23,actions=rate:1Mbit,allow\"}");
	list = fixture_call(f, "rule.list", "{\"port\": \"p\"}", &err);
	assert_json(list,
		"{\"rules\": [{\"rule\": \"priority=40000,arp,actions=allow\", \"packets\": 2, \"bytes\": 200},"
		"{\"rule\": \"priority=32768,tcp,tp_dst=23,actions=rate:1Mbit,allow\", \"packets\": 1, \"bytes\": "
		"100}],"
		"\"next\": null}");
	list = fixture_call(f, "rule.list", "{\"port\": \"p\", \"pos\": 1, \"max\": 1}", &err);
	assert_json(list,
		"{\"rules\": [{\"rule\": \"priority=32768,tcp,tp_dst=23,actions=rate:1Mbit,allow\", \"packets\": 1, "
		"\"bytes\": 100}], \"next\": null}");
	list = fixture_call(f, "rule.list", "{\"port\": \"p\", \"max\": 1}", &err);
	assert_int_equal(json_integer_value(json_object_get(list, "next")), 1);
	json_decref(list);
	fixture_refused(f, "rule.del", "{\"port\": \"p\", \"rule\": \"priority=1,arp\"}", RPC_STATE_ERROR,
		"none with this match and priority");
	fixture_ok(f, "rule.del", "{\"port\": \"p\", \"rule\": \"priority=40000,arp\"}");
	fixture_ok(f, "rule.clear", "{\"port\": \"p\"}");
	list = fixture_call(f, "rule.list", "{\"port\": \"p\"}", &err);
	assert_json(list, "{\"rules\": [], \"next\": null}");
}

static void
lists_are_set_as_a_whole(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	unsigned n;
	json_t *list;

	fixture_ok(f, "port.add", "{\"name\": \"p\"}");
	fixture_ok(f, "rule.add", "{\"port\": \"p\", \"rule\": \"tcp,actions=drop\"}");
	fixture_ok(f, "rule.set", "{\"port\": \"p\", \"rules\": \"udp,actions=drop; \\n tcp,actions=drop ;\"}");
	list = fixture_call(f, "rule.list", "{\"port\": \"p\"}", &err);
	assert_int_equal(json_array_size(json_object_get(list, "rules")), 2);
	json_decref(list);
	n = fake_dp_n_changes();
	fixture_ok(f, "rule.set", "{\"port\": \"p\", \"rules\": \"tcp,actions=drop;udp,actions=drop\"}");
	assert_int_equal(fake_dp_n_changes(), n); // it has them
	fixture_refused(f, "rule.set", "{\"port\": \"p\", \"rules\": \"arp,actions=drop;tcp\"}", RPC_INVALID_PARAMS,
		"actions= is missing");
	fixture_refused(f, "rule.set", "{\"port\": \"p\", \"rules\": \"arp,actions=drop;arp,actions=allow\"}",
		RPC_STATE_ERROR, "one match and priority");
	fixture_refused(f, "rule.set", "{\"port\": \"q\", \"rules\": \"\"}", RPC_STATE_ERROR, "q does not exist");
	list = fixture_call(f, "port.show", "{\"name\": \"p\"}", &err);
	assert_int_equal(json_integer_value(json_object_get(list, "rules")), 2);
	json_decref(list);
	fixture_ok(f, "rule.set", "{\"port\": \"p\", \"rules\": \"\"}");
	list = fixture_call(f, "rule.list", "{\"port\": \"p\"}", &err);
	assert_json(list, "{\"rules\": [], \"next\": null}");
}

static void
wrong_rules_are_refused(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add", "{\"name\": \"p\"}");
	fixture_refused(f, "rule.add", "{\"port\": \"p\", \"rule\": \"tcp,tp_dst=65536,actions=drop\"}",
		RPC_INVALID_PARAMS, "rule: tp_dst: '65536' is no number from 0 to 65535");
	fixture_refused(
		f, "rule.add", "{\"port\": \"p\", \"rule\": \"tcp\"}", RPC_INVALID_PARAMS, "actions= is missing");
	fixture_refused(f, "rule.add", "{\"port\": \"q\", \"rule\": \"actions=drop\"}", RPC_STATE_ERROR,
		"port q does not exist");
	fixture_refused(
		f, "rule.del", "{\"port\": \"q\", \"rule\": \"tcp\"}", RPC_STATE_ERROR, "port q does not exist");
	fixture_refused(f, "rule.clear", "{\"port\": \"q\"}", RPC_STATE_ERROR, "port q does not exist");
	fixture_refused(f, "rule.list", "{\"port\": \"q\"}", RPC_STATE_ERROR, "q");
	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"u\", \"address\": \"10.0.0.1/24\"}");
	fixture_refused(f, "rule.add", "{\"port\": \"up\", \"rule\": \"actions=drop\"}", RPC_INVALID_PARAMS,
		"a port with an address has no rules");
	fixture_ok(f, "port.add", "{\"name\": \"plain\", \"type\": \"ethdev\", \"devargs\": \"v\"}");
	fixture_ok(f, "rule.add", "{\"port\": \"plain\", \"rule\": \"actions=drop\"}");
	fixture_refused(f, "port.set", "{\"name\": \"plain\", \"address\": \"10.0.0.1/24\"}", RPC_INVALID_PARAMS,
		"not for a port with rules");
}

static void
limits_of_rules(void **state)
{
	struct fixture *f = *state;
	char params[160];

	fixture_ok(f, "port.add", "{\"name\": \"p\"}");
	fixture_ok(f, "port.add", "{\"name\": \"q\"}");
	for (unsigned i = 0; i < DP_MAX_RULES; i++) {
		(void)snprintf(
			params, sizeof(params), "{\"port\": \"p\", \"rule\": \"tcp,tp_dst=%u,actions=drop\"}", i);
		fixture_ok(f, "rule.add", params);
	}
	fixture_refused(f, "rule.add", "{\"port\": \"p\", \"rule\": \"tcp,tp_dst=5000,actions=drop\"}", RPC_STATE_ERROR,
		"4096 rules, the limit");
	fixture_ok(f, "rule.add", "{\"port\": \"p\", \"rule\": \"tcp,tp_dst=1,actions=allow\"}");
	for (unsigned i = 1; i <= FLOW_TABLE_MASKS_MAX; i++) {
		(void)snprintf(params, sizeof(params),
			"{\"port\": \"q\", \"rule\": \"ip,nw_src=0.0.0.0/%u,actions=drop\"}", i);
		fixture_ok(f, "rule.add", params);
	}
	fixture_refused(f, "rule.add", "{\"port\": \"q\", \"rule\": \"arp,actions=drop\"}", RPC_STATE_ERROR,
		"more than 32 combinations of fields");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(rules_are_by_match_and_priority),
		T(lists_are_set_as_a_whole),
		T(wrong_rules_are_refused),
		T(limits_of_rules),
	};

	return cmocka_run_group_tests_name("ctl/rule", tests, NULL, NULL);
}
