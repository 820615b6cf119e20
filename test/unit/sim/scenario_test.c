// Scenarios: defaults, limits at their last good value and one beyond, and the message of every
// mistake.
#include "../unit.h"
#include "admit.h"
#include "scenario.h"
#include "sim_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HOST "{'name': 'h', 'rate': '1Gbit', 'to': 'i'}, {'name': 'i', 'rate': '1Gbit', 'latency': '1ms'}"
#define RING "{'name': 'h', 'rate': '1Gbit', 'to': 'i'}, {'name': 'i', 'rate': '1Gbit', 'to': 'h'}"
#define CBR "'packet': 100, 'source': {'type': 'cbr', 'rate': '1Mbit'}"
#define WITH(time, hosts, flows) "{'time': " time ", 'hosts': [" hosts "], 'flows': [" flows "]}"
#define WITH_HOST(host) WITH("'1s'", host, "{'name': 'f', 'path': ['h'], " CBR "}")
#define WITH_FLOW(flow) WITH("'1s'", HOST, "{'name': 'f', 'path': ['h'], " flow "}")
#define WITH_SOURCE(source) WITH_FLOW("'packet': 100, 'source': {" source "}")

static void
what_is_not_given_has_a_default(void **state)
{
	struct scenario *sc = sim_fixture_scenario(WITH_FLOW(CBR));

	(void)state;
	assert_int_equal(sc->time_ns, 1000000000);
	assert_int_equal(sc->seed, 1);
	assert_int_equal(sc->hosts[0].link_rate_bps, 1000000000);
	assert_int_equal(sc->hosts[0].latency_ns, 0);
	assert_true(sc->hosts[0].has_next && sc->hosts[0].next == 1);
	assert_false(sc->hosts[1].has_next);
	assert_int_equal(sc->flows[0].weight, 1);
	assert_int_equal(sc->flows[0].queue, 1000);
	assert_int_equal(sc->flows[0].deadline_ns, 0);
	assert_false(sc->flows[0].drops_late);
	scenario_destroy(sc);
}

static void
deadline_is_shared_by_the_hosts_of_a_path(void **state)
{
	struct scenario *sc = sim_fixture_scenario(WITH("'1s'", HOST,
		"{'name': 'f', 'path': ['h', 'i'], 'deadline': '5000001ns', 'min_rate': '1Mbit', 'burst': 200, " CBR
		"}"));
	struct sched_params p;

	(void)state;
	admit_hop_params(sc, &sc->flows[0], 0, &p);
	assert_int_equal(p.deadline_ns, 2000001);
	assert_int_equal(p.min_rate, 125000);
	assert_int_equal(p.burst, 200);
	admit_hop_params(sc, &sc->flows[0], 1, &p);
	assert_int_equal(p.deadline_ns, 2000000);
	scenario_destroy(sc);
}

static void
surplus_of_guaranteed_flows_may_block_others(void **state)
{
	// b's 6,500 bytes and a's packet of 1,500 have 64 us on 1 Gbit/s only when a keeps to its
	// rate.
	static const char text[] = WITH("'1s'", HOST,
		"{'name': 'a', 'path': ['h'], 'packet': 1500, 'deadline': '50us', 'min_rate': '1Mbit', 'burst': 1600,"
		" 'source': {'type': 'cbr', 'rate': '%s'}},"
		"{'name': 'b', 'path': ['h'], 'packet': 500, 'deadline': '64us', 'min_rate': '1Mbit', 'burst': 6000,"
		" 'source': {'type': 'greedy'}}");
	static const char *const rates[] = {"1Mbit", "2Mbit"};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		char buf[sizeof(text) + 16];
		struct admission_result r;
		struct scenario *sc;

		(void)snprintf(buf, sizeof(buf), text, rates[i]);
		sc = sim_fixture_scenario(buf);
		assert_int_equal(admit_host(sc, 0, &r), 0);
		assert_int_equal(r.reason, i ? ADMISSION_DEADLINE : ADMISSION_FITS);
		scenario_destroy(sc);
	}
}

// A burst of 1,000 bytes takes 8 us of 10; at the second host a packet of the flow's own, sent
// early by the first as surplus, may be on the link before it.
static void
packets_ahead_of_their_tokens_may_block_at_the_next_host(void **state)
{
	struct scenario *sc = sim_fixture_scenario(WITH("'1s'", HOST,
		"{'name': 'f', 'path': ['h', 'i'], 'packet': 500, 'deadline': '1020us', 'min_rate': '1Mbit',"
		" 'burst': 1000, 'source': {'type': 'greedy'}}"));
	struct admission_result r;

	(void)state;
	assert_int_equal(admit_host(sc, 0, &r), 0);
	assert_int_equal(r.reason, ADMISSION_FITS);
	assert_int_equal(admit_host(sc, 1, &r), 0);
	assert_int_equal(r.reason, ADMISSION_DEADLINE);
	assert_int_equal(r.demand_bytes, 1500);
	assert_int_equal(r.supply_bytes, 1250);
	scenario_destroy(sc);
}

static void
mistakes_are_named_with_what_is_accepted(void **state)
{
	static const char *const mistakes[][2] = {
		{"[]", "scenario: is not an object"},
		{"{'hosts': [], 'flows': []}", "scenario.time: is missing"},
		{"{'time': '1s', 'hosts': [], 'flows': []}", "hosts: is not a list of 1 to 64"},
		{"{'time': '1s', 'hosts': [" HOST "], 'flows': {}}", "flows: is not a list of 1 to 1024"},
		{WITH("'2h'", HOST, "{}"), "scenario.time: is not a time from 1ns to 1h"},
		{WITH("1.5", HOST, "{}"), "scenario.time: is not a time"},
		{WITH("-1", HOST, "{}"), "scenario.time: is not a time"},
		{WITH_HOST("{'name': 'h'}"), "hosts[0].rate: is missing"},
		{WITH_HOST("{'name': 'h', 'rate': '7kbit'}"), "hosts[0].rate: is not a rate from 8kbit to 400Gbit"},
		{WITH_HOST("{'name': 'h', 'rate': '401Gbit'}"), "hosts[0].rate: is not a rate from"},
		{WITH_HOST("{'name': 'h', 'rate': '1Gbit', 'latency': '1001ms'}"),
			"hosts[0].latency: is not a time from 0ns to 1s"},
		{WITH_HOST("{'name': 'h', 'rate': '1Gbit', 'to': 'x'}"), "hosts[0].to: is not the name of a host"},
		{WITH_HOST("{'name': 'h', 'rate': '1Gbit', 'colour': 1}"), "hosts[0].colour: there is no such field"},
		{WITH_HOST("{'name': 'h h', 'rate': '1Gbit'}"), "hosts[0].name: is not 1 to 31 letters"},
		{WITH_HOST("{'name': '12345678901234567890123456789012', 'rate': '1Gbit'}"), "hosts[0].name: is not"},
		{WITH_HOST(HOST ", " HOST), "hosts[2].name: 'h' is given twice"},
		{WITH("'1s'", HOST, "1"), "flows[0]: is not an object"},
		{WITH("'1s'", HOST, "{'name': 'f', 'path': [], " CBR "}"), "flows[0].path: is not a list of 1 to 16"},
		{WITH("'1s'", HOST, "{'name': 'f', 'path': ['x'], " CBR "}"), "flows[0].path: element 0"},
		{WITH("'1s'", HOST, "{'name': 'f', 'path': ['i', 'h'], " CBR "}"), "the link of i does not go to h"},
		{WITH("'1s'", RING, "{'name': 'f', 'path': ['h', 'i', 'h'], " CBR "}"), "path: h is on it twice"},
		{WITH("'1s'", HOST, "{'name': 'f', 'path': ['h'], " CBR "}, {'name': 'f', 'path': ['h'], " CBR "}"),
			"flows[1].name: 'f' is given twice"},
		{WITH_FLOW("'packet': 65536, 'source': {}"), "flows[0].packet: is not a size from 1B to 65535B"},
		{WITH_FLOW("'weight': 257, " CBR), "flows[0].weight: is not a number from 1 to 256"},
		{WITH_FLOW("'queue': 65537, " CBR), "flows[0].queue: is not a number from 1 to 65536"},
		{WITH_FLOW("'queue': 0, " CBR), "flows[0].queue"},
		{WITH_FLOW("'deadline': '61min', " CBR), "flows[0].deadline: is not a time from 1ns to 1h"},
		{WITH_FLOW("'min_rate': '1Mbit', " CBR), "flows[0].burst: is missing"},
		{WITH_FLOW("'burst': 1000, " CBR), "flows[0].min_rate: is missing"},
		{WITH_FLOW("'late': 'never', " CBR), "flows[0].late: is not send or drop"},
		{WITH_FLOW("'packet': 100"), "flows[0].source: is missing"},
		{WITH("'1s'", HOST, "{'name': 'f', 'path': ['i'], 'deadline': '1ms', " CBR "}"),
			"flows[0].deadline: is not above the latencies of its path, 1000000 ns"},
		{WITH_FLOW("'source': {'type': 'cbr', 'rate': '1Mbit'}"),
			"flows[0].source.type: cbr needs the flow's packet"},
		{WITH_SOURCE("'type': 'loud'"),
			"flows[0].source.type: is not cbr, onoff, poisson, greedy, bursts or trace"},
		{WITH_SOURCE("'type': 'cbr'"), "flows[0].source.rate: is missing"},
		{WITH_SOURCE("'type': 'poisson', 'rate': '1Mbit', 'on': '1s'"), "flows[0].source.on: there is no such"},
		{WITH_SOURCE("'type': 'onoff', 'rate': '1Mbit', 'on': '1s'"), "flows[0].source.off: is missing"},
		{WITH_SOURCE("'type': 'greedy'"), "flows[0].source.rate: is missing, and so is the flow's min_rate"},
		{WITH_SOURCE("'type': 'greedy', 'rate': '1Mbit', 'burst': 99"),
			"flows[0].source.burst: is shorter than"},
		{WITH_SOURCE("'type': 'trace', 'packets': [[1]]"), "flows[0].source.packets: element 0 is not a pair"},
		{WITH_SOURCE("'type': 'trace', 'packets': []"), "flows[0].source.packets: is not a list of 1 to 65536"},
		{WITH_SOURCE("'type': 'trace', 'packets': [[1, 0]]"), "flows[0].source.packets: is not a size from 1B"},
		{WITH_SOURCE("'type': 'trace', 'packets': [[2, 1], [1, 1]]"), "element 1 is before the last"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++)
		sim_fixture_refused(mistakes[i][0], mistakes[i][1]);
}

// A scenario with so many hosts, all on the one flow's path, and so many flows.
static json_t *
large(unsigned n_hosts, unsigned n_hops, unsigned n_flows)
{
	json_t *hosts = json_array(), *flows = json_array(), *path = json_array();
	char name[32], next[32];

	for (unsigned i = 0; i < n_hosts; i++) {
		(void)snprintf(name, sizeof(name), "h%u", i);
		(void)snprintf(next, sizeof(next), "h%u", (i + 1) % n_hosts);
		json_array_append_new(hosts, json_pack("{s:s, s:s, s:s}", "name", name, "rate", "1Gbit", "to", next));
		if (i < n_hops)
			json_array_append_new(path, json_string(name));
	}
	for (unsigned i = 0; i < n_flows; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		json_array_append_new(flows,
			json_pack("{s:s, s:O, s:i, s:{s:s, s:s}}", "name", name, "path", path, "packet", 100, "source",
				"type", "cbr", "rate", "1Mbit"));
	}
	json_decref(path);
	return json_pack("{s:s, s:o, s:o}", "time", "1s", "hosts", hosts, "flows", flows);
}

static void
limits_hold_and_one_more_is_refused(void **state)
{
	static const unsigned counts[][4] = {
		{SCENARIO_MAX_HOSTS, SCENARIO_MAX_HOPS, SCENARIO_MAX_FLOWS, true},
		{SCENARIO_MAX_HOSTS + 1, 1, 1, false},
		{SCENARIO_MAX_HOSTS, SCENARIO_MAX_HOPS + 1, 1, false},
		{1, 1, SCENARIO_MAX_FLOWS + 1, false},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		json_t *root = large(counts[i][0], counts[i][1], counts[i][2]);
		struct scenario *sc = NULL;
		char err[FIELDS_ERROR_SIZE];

		assert_non_null(root);
		assert_int_equal(scenario_create(root, &sc, err), counts[i][3] ? 0 : -EINVAL);
		scenario_destroy(sc);
		json_decref(root);
	}
}

static int
load(const char *content, size_t len, char err[FIELDS_ERROR_SIZE])
{
	char path[] = "/tmp/rtvs-sim-test-XXXXXX";
	struct scenario *sc = NULL;
	int fd = mkstemp(path), rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), len);
	(void)close(fd);
	rc = scenario_load(path, &sc, err);
	(void)unlink(path);
	assert_null(sc);
	return rc;
}

static void
files_that_are_no_scenarios_are_refused(void **state)
{
	struct scenario *sc = NULL;
	char err[FIELDS_ERROR_SIZE], *spaces = malloc(FIELDS_MAX_FILE_BYTES + 1);

	(void)state;
	assert_non_null(spaces);
	memset(spaces, ' ', FIELDS_MAX_FILE_BYTES + 1);
	assert_int_equal(scenario_load("/nonexistent", &sc, err), -ENOENT);
	assert_string_equal(err, strerror(ENOENT));
	assert_int_equal(load("{", 1, err), -EINVAL);
	assert_non_null(strstr(err, "line 1"));
	assert_int_equal(load("{\"time\": 1, \"time\": 2}", 22, err), -EINVAL);
	assert_non_null(strstr(err, "duplicate"));
	assert_int_equal(load(spaces, FIELDS_MAX_FILE_BYTES, err), -EINVAL);
	assert_int_equal(load(spaces, FIELDS_MAX_FILE_BYTES + 1, err), -EFBIG);
	free(spaces);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_given_has_a_default),
		cmocka_unit_test(deadline_is_shared_by_the_hosts_of_a_path),
		cmocka_unit_test(surplus_of_guaranteed_flows_may_block_others),
		cmocka_unit_test(packets_ahead_of_their_tokens_may_block_at_the_next_host),
		cmocka_unit_test(mistakes_are_named_with_what_is_accepted),
		cmocka_unit_test(limits_hold_and_one_more_is_refused),
		cmocka_unit_test(files_that_are_no_scenarios_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
