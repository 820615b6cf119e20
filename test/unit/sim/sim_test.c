// Runs: numbers computed by hand for each policy, the same bytes twice, deadlines along paths, and
// the results that the shipped example must show.
#include "../unit.h"
#include "report.h"
#include "sim.h"
#include "sim_fixture.h"

#include <errno.h>
#include <stdio.h>

#define US UINT64_C(1000)

// 8 Mbit/s are a byte per microsecond.
static const char tiny[] = "{'time': '1ms', 'hosts': [{'name': 'h', 'rate': '8Mbit', 'latency': '10us'}], 'flows': ["
			   "{'name': 'a', 'path': ['h'], 'deadline': '400us', 'min_rate': '4Mbit', 'burst': 300,"
			   " 'source': {'type': 'trace', 'packets': [[0, 100], [0, 100], ['50us', 100]]}},"
			   "{'name': 'b', 'path': ['h'], 'deadline': '300us', 'min_rate': '4Mbit', 'burst': 400,"
			   " 'source': {'type': 'trace', 'packets': [[0, 200], ['160us', 200]]}}]}";

struct expected {
	enum policy_type policy;
	struct {
		uint64_t sum_us, max_us, missed, broken;
	} flow[2];
};

static void
tiny_scenario_has_the_numbers_of_paper_and_pencil(void **state)
{
	// Packets end on the link at, us:      a1   a2   a3   b1   b2
	static const struct expected expected[] = {
		// Shares of deadlines without the latency: 390 and 290 us, from arrivals at 0, 0,
		// 50, 0, 160.
		// 300  400  500  200  700
		{POLICY_EDF, {{310 + 410 + 460, 460, 2, 2}, {210 + 550, 550, 1, 1}}},
		// 100  200  500  400  700
		{POLICY_FIFO, {{110 + 210 + 460, 460, 1, 0}, {410 + 550, 550, 2, 0}}},
		// 500  600  700  200  400
		{POLICY_PRIORITY, {{510 + 610 + 660, 660, 3, 0}, {210 + 250, 250, 0, 0}}},
		// 100  200  300  500  700
		{POLICY_DRR, {{110 + 210 + 260, 260, 0, 0}, {510 + 550, 550, 2, 0}}},
	};
	struct scenario *sc = sim_fixture_scenario(tiny);

	(void)state;
	for (unsigned i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		struct sim_result r;

		assert_int_equal(sim_run(sc, expected[i].policy, 1, &r), 0);
		for (unsigned f = 0; f < 2; f++) {
			print_message("%s %s\n", policy_names[expected[i].policy], sc->flows[f].name);
			assert_int_equal(r.flows[f].sent, f ? 2 : 3);
			assert_int_equal(r.flows[f].delivered, r.flows[f].sent);
			assert_int_equal(r.flows[f].delay.sum, expected[i].flow[f].sum_us * US);
			assert_int_equal(r.flows[f].delay.max, expected[i].flow[f].max_us * US);
			assert_int_equal(r.flows[f].missed, expected[i].flow[f].missed);
			assert_int_equal(r.flows[f].broken, expected[i].flow[f].broken);
			assert_int_equal(r.flows[f].bytes, f ? 400 : 300);
		}
		assert_int_equal(r.hosts[0].bytes, 700);
		sim_fini(&r);
	}
	scenario_destroy(sc);
}

static void
report_has_the_numbers_and_admission_the_reason(void **state)
{
	struct scenario *sc = sim_fixture_scenario(tiny);
	struct sim_result r;
	json_t *report, *admission, *object;
	bool fits;

	(void)state;
	assert_int_equal(sim_run(sc, POLICY_EDF, 1, &r), 0);
	report = report_result(sc, POLICY_EDF, &r);
	object = json_array_get(json_object_get(report, "flows"), 0);
	assert_int_equal(json_integer_value(json_object_get(object, "rate_bps")), 2400000);
	assert_int_equal(json_integer_value(json_object_get(object, "max_ns")), 460000);
	assert_int_equal(json_integer_value(json_object_get(object, "p999_ns")), 460000);
	object = json_array_get(json_object_get(report, "hosts"), 0);
	assert_int_equal(json_integer_value(json_object_get(object, "used_permille")), 700);
	// By 290 us b's burst of 400 may be due behind a packet of a's 100.
	admission = report_admission(sc, &fits);
	assert_false(fits);
	object = json_array_get(admission, 0);
	assert_string_equal(json_string_value(json_object_get(object, "flow")), "b");
	assert_int_equal(json_integer_value(json_object_get(object, "at_ns")), 290000);
	assert_int_equal(json_integer_value(json_object_get(object, "supply_bytes")), 290);
	json_decref(report);
	json_decref(admission);
	sim_fini(&r);
	scenario_destroy(sc);
}

static struct scenario *
load_overload(void)
{
	struct scenario *sc = NULL;
	char err[FIELDS_ERROR_SIZE];

	if (scenario_load(RTVS_CONF_DIR "/sim/overload.json", &sc, err))
		fail_msg("%s", err);
	return sc;
}

static char *
report_text(const struct scenario *sc, enum policy_type policy, uint64_t seed)
{
	struct sim_result r;
	json_t *report;
	char *text;

	assert_int_equal(sim_run(sc, policy, seed, &r), 0);
	report = report_result(sc, policy, &r);
	text = json_dumps(report, 0);
	assert_non_null(text);
	json_decref(report);
	sim_fini(&r);
	return text;
}

static void
same_seed_gives_the_same_bytes(void **state)
{
	struct scenario *sc = load_overload();

	(void)state;
	for (unsigned i = 0; i < POLICY_COUNT; i++) {
		char *first = report_text(sc, (enum policy_type)i, 1), *again = report_text(sc, (enum policy_type)i, 1);
		char *other = report_text(sc, (enum policy_type)i, 2);

		assert_string_equal(first, again);
		assert_string_not_equal(first, other);
		free(first);
		free(again);
		free(other);
	}
	scenario_destroy(sc);
}

// Of all flows that were promised one.
static bool
is_min_rate_kept(const struct scenario *sc, enum policy_type policy, const struct sim_result *r)
{
	json_t *report = report_result(sc, policy, r), *flow;
	bool is_kept = true;
	size_t i;

	json_array_foreach (json_object_get(report, "flows"), i, flow)
		is_kept &= !json_is_false(json_object_get(flow, "is_min_rate_kept"));
	json_decref(report);
	return is_kept;
}

static void
deadlines_keep_the_overloaded_link_busy_and_miss_nothing(void **state)
{
	struct scenario *sc = load_overload();
	uint64_t missed[POLICY_COUNT] = {0}, sent[POLICY_COUNT] = {0};
	bool fits;

	(void)state;
	json_decref(report_admission(sc, &fits));
	assert_true(fits);
	for (unsigned i = 0; i < POLICY_COUNT; i++) {
		struct sim_result r;

		assert_int_equal(sim_run(sc, (enum policy_type)i, sc->seed, &r), 0);
		for (uint32_t f = 0; f < sc->n_flows; f++) {
			const struct sim_flow *flow = &r.flows[f];

			assert_int_equal(flow->sent, flow->delivered + flow->full + flow->late);
			missed[i] += flow->missed;
			sent[i] += flow->sent;
			if (i == POLICY_EDF) {
				assert_int_equal(flow->broken, 0);
				assert_true(flow->bytes >= flow->promised_bytes);
			}
		}
		assert_int_equal(is_min_rate_kept(sc, (enum policy_type)i, &r), i != POLICY_FIFO && i != POLICY_DRR);
		// 98 % of 100 Mbit/s for the scenario's time.
		assert_true(r.hosts[0].bytes >= sc->time_ns / 80 * 98 / 100);
		sim_fini(&r);
	}
	assert_int_equal(sent[POLICY_EDF], sent[POLICY_FIFO]); // all see the same packets
	assert_int_equal(sent[POLICY_EDF], 40536); // on every machine
	assert_int_equal(missed[POLICY_EDF], 0);
	assert_true(missed[POLICY_FIFO] > 10000);
	print_message("missed: edf %llu, fifo %llu, priority %llu, drr %llu of %llu\n",
		(unsigned long long)missed[POLICY_EDF], (unsigned long long)missed[POLICY_FIFO],
		(unsigned long long)missed[POLICY_PRIORITY], (unsigned long long)missed[POLICY_DRR],
		(unsigned long long)sent[POLICY_EDF]);
	scenario_destroy(sc);
}

// A byte per microsecond: a packet takes a millisecond. Of a, 45 come at once, then one every 2.5
// ms. Strict priority keeps b waiting for 45 and the 29 that come meanwhile, it arrives after 75
// ms. With deadlines b waits for a's first 45 and for the one of 2.5 ms, due at 48.5.
static void
strict_priority_breaks_what_deadlines_keep(void **state)
{
	struct scenario *sc = sim_fixture_scenario(
		"{'time': '1s', 'hosts': [{'name': 'h', 'rate': '8Mbit'}], 'flows': ["
		"{'name': 'a', 'path': ['h'], 'packet': 1000, 'deadline': '46ms', 'min_rate': '3200kbit',"
		" 'burst': 45000, 'source': {'type': 'greedy'}},"
		"{'name': 'b', 'path': ['h'], 'packet': 1000, 'deadline': '50ms', 'min_rate': '800kbit',"
		" 'burst': 1000, 'source': {'type': 'greedy'}}]}");
	struct sim_result r;
	bool fits;

	(void)state;
	json_decref(report_admission(sc, &fits));
	assert_true(fits);
	assert_int_equal(sim_run(sc, POLICY_EDF, 1, &r), 0);
	assert_int_equal(r.flows[0].missed + r.flows[1].missed, 0);
	assert_int_equal(r.flows[1].delay.max, 47000 * US);
	sim_fini(&r);
	assert_int_equal(sim_run(sc, POLICY_PRIORITY, 1, &r), 0);
	assert_int_equal(r.flows[0].missed, 0);
	assert_true(r.flows[1].missed > 0);
	assert_int_equal(r.flows[1].delay.max, 75000 * US);
	sim_fini(&r);
	scenario_destroy(sc);
}

// Why the admission test counts surplus of guaranteed flows as best effort. a sends a packet one
// nanosecond before it has tokens, which leaves at once, as the link is idle; then one that has
// tokens. b's burst waits for both: 12 + 12 + 48 us.
static void
surplus_of_a_guaranteed_flow_makes_another_late(void **state)
{
	struct scenario *sc = sim_fixture_scenario(
		"{'time': '20ms', 'hosts': [{'name': 'h', 'rate': '1Gbit'}], 'flows': ["
		"{'name': 'a', 'path': ['h'], 'deadline': '50us', 'min_rate': '1Mbit', 'burst': 1600, 'source':"
		" {'type': 'trace', 'packets': [[0, 1500], ['11199999ns', 1500], ['11200us', 1500]]}},"
		"{'name': 'b', 'path': ['h'], 'packet': 500, 'deadline': '64us', 'min_rate': '1Mbit', 'burst': 6000,"
		" 'source': {'type': 'greedy', 'start': '11200us'}}]}");
	struct sim_result r;
	bool fits;

	(void)state;
	json_decref(report_admission(sc, &fits));
	assert_false(fits);
	assert_int_equal(sim_run(sc, POLICY_EDF, 1, &r), 0);
	assert_int_equal(r.flows[1].delay.max, 71999);
	assert_int_equal(r.flows[1].broken, 2);
	sim_fini(&r);
	scenario_destroy(sc);
}

// Three links in a row, each loaded by others; every host gets a third of what the latencies leave.
static const char path_text[] =
	"{'time': '500ms', 'hosts': ["
	"{'name': 'x', 'rate': '100Mbit', 'latency': '100us', 'to': 'y'},"
	"{'name': 'y', 'rate': '100Mbit', 'latency': '200us', 'to': 'z'},"
	"{'name': 'z', 'rate': '100Mbit', 'latency': '300us'}], 'flows': ["
	"{'name': 'long', 'path': ['x', 'y', 'z'], 'packet': 1000, 'deadline': '6.6ms', 'min_rate': '20Mbit',"
	" 'burst': '10kB', 'source': {'type': 'greedy'}},"
	"{'name': 'xy', 'path': ['x', 'y'], 'packet': 1500, 'deadline': '10ms', 'min_rate': '30Mbit',"
	" 'burst': '15kB', 'source': {'type': 'greedy', 'start': '1ms'}},"
	"{'name': 'yz', 'path': ['y', 'z'], 'packet': 500, 'deadline': '8ms', 'min_rate': '40Mbit',"
	" 'burst': '5kB', 'source': {'type': 'greedy', 'start': '2ms'}},"
	"{'name': 'bx', 'path': ['x'], 'packet': 1500, 'source': {'type': 'poisson', 'rate': '100Mbit'}},"
	"{'name': 'by', 'path': ['y'], 'packet': 1500, 'source': {'type': 'poisson', 'rate': '100Mbit'}},"
	"{'name': 'bz', 'path': ['z'], 'packet': 1500, 'source': {'type': 'poisson', 'rate': '100Mbit'}}]}";

static void
deadlines_hold_from_end_to_end_of_a_path(void **state)
{
	struct scenario *sc = sim_fixture_scenario(path_text);
	struct sim_result r;
	bool fits;

	(void)state;
	json_decref(report_admission(sc, &fits));
	assert_true(fits);
	for (uint64_t seed = 1; seed <= 5; seed++) {
		assert_int_equal(sim_run(sc, POLICY_EDF, seed, &r), 0);
		for (uint32_t f = 0; f < 3; f++) {
			assert_true(r.flows[f].sent > 1000);
			assert_int_equal(r.flows[f].delivered, r.flows[f].sent);
			assert_int_equal(r.flows[f].missed + r.flows[f].broken, 0);
			assert_true(r.flows[f].delay.max <= sc->flows[f].deadline_ns);
		}
		sim_fini(&r);
		// The same promises, without a scheduler that knows them.
		assert_int_equal(sim_run(sc, POLICY_FIFO, seed, &r), 0);
		assert_true(r.flows[0].missed > 0);
		sim_fini(&r);
	}
	scenario_destroy(sc);
}

static void
packet_is_stored_and_forwarded(void **state)
{
	struct scenario *sc = sim_fixture_scenario(
		"{'time': '1ms', 'hosts': [{'name': 'x', 'rate': '8Mbit', 'latency': '10us', 'to': 'y'},"
		"{'name': 'y', 'rate': '4Mbit', 'latency': '20us'}],"
		"'flows': [{'name': 'f', 'path': ['x', 'y'], 'source': {'type': 'trace', 'packets': [[0, 100]]}}]}");

	(void)state;
	for (unsigned i = 0; i < POLICY_COUNT; i++) {
		struct sim_result r;

		assert_int_equal(sim_run(sc, (enum policy_type)i, 1, &r), 0);
		assert_int_equal(r.flows[0].delay.max, (100 + 10 + 200 + 20) * US);
		sim_fini(&r);
	}
	scenario_destroy(sc);
}

static void
packet_at_its_deadline_is_in_time(void **state)
{
	static const char text[] = "{'time': '100us', 'hosts': [{'name': 'x', 'rate': '8Mbit', 'to': 'y'}, {'name': "
				   "'y', 'rate': '8Mbit'}],"
				   "'flows': [{'name': 'f', 'path': ['x', 'y'], 'deadline': '%s',"
				   "'source': {'type': 'trace', 'packets': [[0, 100]]}}]}";
	static const char *const deadlines[] = {"200us", "199999ns"};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		char buf[sizeof(text) + 16];
		struct sim_result r;
		struct scenario *sc;

		(void)snprintf(buf, sizeof(buf), text, deadlines[i]);
		sc = sim_fixture_scenario(buf);
		assert_int_equal(sim_run(sc, POLICY_EDF, 1, &r), 0);
		assert_int_equal(r.flows[0].delivered, 1);
		assert_int_equal(r.flows[0].missed, i);
		// Packets that the first link sent count in the scenario's time, not packets that
		// arrived after its end.
		assert_int_equal(r.hosts[0].bytes, 100);
		assert_int_equal(r.hosts[1].bytes, 0);
		assert_int_equal(r.flows[0].bytes, 0);
		sim_fini(&r);
		scenario_destroy(sc);
	}
}

// At 300 us y's link is free and high arrives.
static void
arrivals_come_before_departures_of_the_same_time(void **state)
{
	struct scenario *sc = sim_fixture_scenario(
		"{'time': '1ms', 'hosts': [{'name': 'x', 'rate': '8Mbit', 'to': 'y'}, {'name': 'y', 'rate': '8Mbit'}],"
		"'flows': [{'name': 'low', 'path': ['y'], 'source': {'type': 'trace', 'packets': [[0, 300], [0, "
		"300]]}},"
		"{'name': 'high', 'path': ['x', 'y'], 'deadline': '1ms',"
		" 'source': {'type': 'trace', 'packets': [['50us', 250]]}}]}");
	struct sim_result r;

	(void)state;
	assert_int_equal(sim_run(sc, POLICY_PRIORITY, 1, &r), 0);
	assert_int_equal(r.flows[1].delay.max, 500 * US);
	assert_int_equal(r.flows[0].delay.max, 850 * US);
	sim_fini(&r);
	scenario_destroy(sc);
}

static void
full_queues_and_late_packets_are_counted_apart(void **state)
{
	struct scenario *sc = sim_fixture_scenario(
		"{'time': '10ms', 'hosts': [{'name': 'h', 'rate': '8Mbit'}], 'flows': ["
		"{'name': 'f', 'path': ['h'], 'packet': 1000, 'queue': 4, 'deadline': '2500us', 'late': 'drop',"
		" 'source': {'type': 'trace', 'packets': [[0, 1000], [0, 1000], [0, 1000], [0, 1000], [0, 1000]]}}]}");

	(void)state;
	for (unsigned i = 0; i < POLICY_COUNT; i++) {
		struct sim_result r;

		// One finds the queue full; those that begin at 0, 1 and 2 ms are sent, the third
		// arriving late.
		assert_int_equal(sim_run(sc, (enum policy_type)i, 1, &r), 0);
		assert_int_equal(r.flows[0].sent, 5);
		assert_int_equal(r.flows[0].full, 1);
		assert_int_equal(r.flows[0].late, 1);
		assert_int_equal(r.flows[0].delivered, 3);
		assert_int_equal(r.flows[0].missed, 1);
		sim_fini(&r);
	}
	scenario_destroy(sc);
}

static void
more_packets_than_the_limit_end_the_run(void **state)
{
	// Two million packets are on a link of a second at once.
	struct scenario *sc = sim_fixture_scenario(
		"{'time': '1s', 'hosts': [{'name': 'h', 'rate': '1Gbit', 'latency': '1s'}], 'flows': ["
		"{'name': 'f', 'path': ['h'], 'packet': 64, 'source': {'type': 'cbr', 'rate': '1Gbit'}}]}");
	struct sim_result r;

	(void)state;
	assert_int_equal(sim_run(sc, POLICY_FIFO, 1, &r), -ENOSPC);
	scenario_destroy(sc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiny_scenario_has_the_numbers_of_paper_and_pencil),
		cmocka_unit_test(report_has_the_numbers_and_admission_the_reason),
		cmocka_unit_test(same_seed_gives_the_same_bytes),
		cmocka_unit_test(deadlines_keep_the_overloaded_link_busy_and_miss_nothing),
		cmocka_unit_test(strict_priority_breaks_what_deadlines_keep),
		cmocka_unit_test(surplus_of_a_guaranteed_flow_makes_another_late),
		cmocka_unit_test(deadlines_hold_from_end_to_end_of_a_path),
		cmocka_unit_test(packet_is_stored_and_forwarded),
		cmocka_unit_test(packet_at_its_deadline_is_in_time),
		cmocka_unit_test(arrivals_come_before_departures_of_the_same_time),
		cmocka_unit_test(full_queues_and_late_packets_are_counted_apart),
		cmocka_unit_test(more_packets_than_the_limit_end_the_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
