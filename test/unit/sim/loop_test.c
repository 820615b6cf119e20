// Feedback between hosts: a scenario by pencil, refusals, and the results of the controllers. They
// run in the shipped example, under constant loads, with reports that are lost and re-ordered, and
// with 2 to 1,000 hosts.
#include "../unit.h"
#include "loop.h"
#include "loop_report.h"
#include "sim_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
// misses of one host, from the first to the last: 50 ms for stage 1 and 100 ms for stage 2
#define BOUND_NS (150 * MS)

static struct loop_result without, with;

static struct loop_scenario *
scenario_of(json_t *root)
{
	struct loop_scenario *sc = NULL;
	char err[FIELDS_ERROR_SIZE];

	assert_true(loop_scenario_is_one(root));
	if (loop_scenario_create(root, &sc, err))
		fail_msg("%s", err);
	json_decref(root);
	return sc;
}

static void
run(const struct loop_scenario *sc, enum feedback_mode mode, uint64_t seed, struct loop_result *ret_result)
{
	assert_int_equal(loop_run(sc, mode, seed, ret_result), 0);
	for (uint32_t i = 0; i < sc->n_flows; i++) {
		const struct loop_result_flow *r = &ret_result->flows[i];

		assert_int_equal(r->sent, r->delivered + r->full + r->lost);
		assert_true(r->reports_most <= 1000 * MS / sc->reports.interval_ns);
	}
}

static void
run_both(const struct loop_scenario *sc, uint64_t seed)
{
	run(sc, FEEDBACK_MEASURE, seed, &without);
	run(sc, FEEDBACK_ACT, seed, &with);
	for (uint32_t i = 0; i < sc->n_flows; i++) // both saw the same
		assert_int_equal(without.flows[i].sent, with.flows[i].sent);
	for (unsigned event = FEEDBACK_NONE + 1; event < FEEDBACK_EVENTS; event++)
		assert_int_equal(without.flows[0].events[event], 0);
	print_message("%llu hosts, seed %llu: %llu and %llu of %llu missed, %llu and %llu us at most in a row\n",
		(unsigned long long)sc->hosts.count, (unsigned long long)seed,
		(unsigned long long)without.flows[0].missed, (unsigned long long)with.flows[0].missed,
		(unsigned long long)with.flows[0].sent, (unsigned long long)(without.flows[0].longest_ns / US),
		(unsigned long long)(with.flows[0].longest_ns / US));
}

static void
fini_both(void)
{
	loop_result_fini(&without);
	loop_result_fini(&with);
}

// 8 Mbit/s are a byte per microsecond. Both hosts send 100 bytes at 0 and 1 ms; at 105 us a packet
// of 200 is in their way.
static const char tiny[] =
	"{'kind': 'feedback', 'time': '2ms', 'sample': '1ms', 'hosts': {'count': 2, 'rate': '8Mbit', 'latency': '10us',"
	" 'spread': 0}, 'network': {'rate': '16Mbit'},"
	" 'flows': [{'name': 'f', 'packet': 100, 'deadline': '200us', 'latency': '30us',"
	" 'source': {'type': 'cbr', 'rate': '800kbit'}}],"
	" 'cross': [{'name': 'c', 'packet': 200, 'source': {'type': 'cbr', 'rate': '8kbit'},"
	" 'times': [['105us', '2ms']]}]}";

static void
tiny_scenario_has_the_numbers_of_paper_and_pencil(void **state)
{
	struct loop_scenario *sc = scenario_of(sim_fixture_json(tiny));
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	run(sc, FEEDBACK_MEASURE, 1, &with);
	// 100 us at the host, 10 to the network; there from 205 to 255 and 305 us, the second time
	// to 160 and 210; 30 more.
	assert_int_equal(r->delivered, 4);
	assert_int_equal(r->delay.sum, (285 + 335 + 190 + 240) * US);
	assert_int_equal(r->delay.max, 335 * US);
	assert_int_equal(r->missed, 3);
	assert_int_equal(r->episodes, 2); // of the two hosts
	assert_int_equal(r->longest_ns, MS);
	assert_int_equal(with.n_samples, 2);
	assert_int_equal(r->samples[0].missed, 2);
	assert_int_equal(r->samples[1].missed, 1);
	assert_int_equal(r->samples[1].worst_ns, 240 * US);
	assert_int_equal(r->samples[1].deadline_sum_ns, 400 * US);
	assert_int_equal(with.cross_sent, 1);
	loop_result_fini(&with);
	loop_scenario_destroy(sc);
}

#define HEAD "{'kind': 'feedback', 'time': '1s', 'hosts': {'count': 2, 'rate': '8Mbit'}, 'network': {'rate': '8Mbit'}"
#define CBR "'packet': 100, 'source': {'type': 'cbr', 'rate': '80kbit'}"
#define FLOW "'flows': [{'name': 'f', " CBR "}]"

static void
mistakes_are_named_with_what_is_accepted(void **state)
{
	static const char *const mistakes[][2] = {
		{"{'kind': 'path'}", "scenario.time: is missing"},
		{"{'kind': 'path', 'time': 1, 'hosts': {}, 'network': {}, 'flows': []}",
			"scenario.kind: is not feedback"},
		{"{'kind': 'feedback', 'time': '1s', 'hosts': {'count': 1001, 'rate': '8Mbit'}, 'network': {}, "
		 "'flows': []}",
			"hosts.count: is not a number from 1 to 1000"},
		{"{'kind': 'feedback', 'time': '1s', 'hosts': {'count': 2}, 'network': {}, 'flows': []}",
			"hosts.rate: is missing"},
		{"{'kind': 'feedback', 'time': '1s', 'hosts': {'count': 2, 'rate': '8Mbit'},"
		 " 'network': {'rate': '8Mbit', 'steps': 9}, 'flows': []}",
			"network.steps: is not a number from 1 to 8"},
		{HEAD ", 'flows': []}", "flows: is not a list of 1 to 8"},
		{HEAD ", 'reports': {'loss': 101}, " FLOW "}", "reports.loss: is not a number from 0 to 100"},
		{HEAD ", 'reports': {'interval': '999us'}, " FLOW "}",
			"reports.interval: is not a time from 1ms to 1s"},
		{HEAD ", 'feedback': {'gain': 0}, " FLOW "}", "feedback.gain: is not a number from 1 to 10000"},
		{HEAD ", 'feedback': {'clean': '2s', 'clean_max': '1s'}, " FLOW "}",
			"feedback.clean_max: is below clean"},
		{HEAD ", 'flows': [{'name': 'f', " CBR "}, {'name': 'f', " CBR "}]}",
			"flows[1].name: 'f' is given twice"},
		{HEAD ", 'flows': [{'name': 'f', 'min_rate': '1Mbit', " CBR "}]}", "flows[0].burst: is missing"},
		{HEAD ", 'flows': [{'name': 'f', 'deadline': '1ms', 'latency': '1ms', " CBR "}]}",
			"flows[0].deadline: is not above the latencies of its way, 1000000 ns"},
		{"{'kind': 'feedback', 'time': '1s', 'hosts': {'count': 2, 'rate': '8Mbit', 'clock_error': '501us'},"
		 " 'network': {'rate': '8Mbit'}, 'flows': [{'name': 'f', 'deadline': '1ms', " CBR "}]}",
			"flows[0].deadline: is below twice the hosts' clock_error"},
		{HEAD ", 'flows': [{'name': 'f', 'packet': 1, 'source': {'type': 'trace', 'packets': [[0, 1]]}}]}",
			"flows[0].source.type: trace is not for this kind"},
		{HEAD ", 'reports': {'loss_hosts': 0}, " FLOW "}",
			"reports.loss_hosts: is not a number from 1 to 1000"},
		{HEAD ", 'reports': {'loss_times': [[1, 1]]}, " FLOW "}", "reports.loss_times: element 0 ends before"},
		{HEAD ", 'flows': [{'name': 'f', 'times': [[2, 1]], " CBR "}]}",
			"flows[0].times: element 0 ends before"},
		{HEAD ", 'flows': [{'name': 'f', 'times': [[1, 3], [2, 4]], " CBR "}]}",
			"flows[0].times: element 1 ends before it begins, or begins too early"},
		{HEAD ", 'flows': [{'name': 'f', 'times': [], " CBR "}]}", "flows[0].times: is not a list of 1 to 16"},
		{HEAD ", 'flows': [{'name': 'f', 'times': [[1]], " CBR "}]}", "element 0 is not a pair [from, to]"},
		{HEAD ", " FLOW ", 'cross': [{'name': 'c', 'step': 3, " CBR "}]}",
			"cross[0].step: is not below the network's 3"},
		{HEAD ", " FLOW ", 'cross': [{'name': '?', " CBR "}]}", "cross[0].name: is not 1 to 31 letters"},
		{HEAD ", " FLOW ", 'colour': 1}", "scenario.colour: there is no such field"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		json_t *root = sim_fixture_json(mistakes[i][0]);
		struct loop_scenario *sc = NULL;
		char err[FIELDS_ERROR_SIZE] = "";

		assert_int_equal(loop_scenario_create(root, &sc, err), -EINVAL);
		assert_null(sc);
		if (!strstr(err, mistakes[i][1]))
			fail_msg("'%s' is not in '%s'", mistakes[i][1], err);
		json_decref(root);
	}
}

static void
what_is_not_given_has_a_default(void **state)
{
	struct loop_scenario *sc = scenario_of(sim_fixture_json(HEAD ", " FLOW "}"));
	struct feedback_params defaults = feedback_params_default(5, 3), params;

	(void)state;
	assert_int_equal(sc->seed, 1);
	assert_int_equal(sc->reports.interval_ns, FLOW_DELAY_INTERVAL_NS);
	assert_int_equal(sc->flows[0].queue, 1000);
	assert_int_equal(sc->flows[0].times.n, 1);
	sc->flows[0].deadline_ns = 5;
	params = loop_scenario_control(sc, 0, FEEDBACK_ACT);
	assert_int_equal(params.mode, defaults.mode);
	assert_int_equal(params.deadline_ns, defaults.deadline_ns);
	assert_int_equal(params.n_steps, defaults.n_steps);
	assert_int_equal(params.gain_permille, defaults.gain_permille);
	assert_int_equal(params.margin_permille, defaults.margin_permille);
	assert_int_equal(params.floor_permille, defaults.floor_permille);
	assert_int_equal(params.clean_ns, defaults.clean_ns);
	assert_int_equal(params.clean_max_ns, defaults.clean_max_ns);
	assert_int_equal(params.forgive_ns, defaults.forgive_ns);
	assert_int_equal(params.silence_ns, defaults.silence_ns);
	loop_scenario_destroy(sc);
}

static struct loop_scenario *
shipped(void)
{
	char err[FIELDS_ERROR_SIZE];
	json_t *root = NULL;

	if (fields_load(RTVS_CONF_DIR "/sim/feedback.json", &root, err))
		fail_msg("%s", err);
	return scenario_of(root);
}

static void
shipped_example_ends_misses_and_returns_to_the_start(void **state)
{
	struct loop_scenario *sc = shipped();

	(void)state;
	for (uint64_t seed = 1; seed <= 2; seed++) {
		run_both(sc, seed);
		const struct loop_result_flow *r = &with.flows[0];

		assert_true(without.flows[0].missed > 50000);
		assert_true(r->missed < 1000);
		assert_in_range(r->longest_ns, 1, BOUND_NS);
		assert_true(without.flows[0].longest_ns > 50 * BOUND_NS);
		assert_true(r->events[FEEDBACK_SHORTENED] >= sc->hosts.count);
		// two kinds of cross traffic
		assert_true(r->events[FEEDBACK_RAISED] >= 2 * sc->hosts.count);
		assert_int_equal(r->events[FEEDBACK_ESCALATED], 0);
		assert_int_equal(r->at_start, sc->hosts.count);
		// what was given to one was not taken from the other
		assert_int_equal(with.flows[1].missed, 0);
		assert_true(r->reports_lost > 0);
		fini_both();
	}
	loop_scenario_destroy(sc);
}

static void
same_seed_gives_the_same_bytes(void **state)
{
	struct loop_scenario *sc = shipped();
	static const uint64_t seeds[] = {7, 7, 8};
	char *text[3];

	(void)state;
	sc->time_ns = 6000 * MS;
	for (unsigned i = 0; i < 3; i++) {
		json_t *report;

		run(sc, FEEDBACK_ACT, seeds[i], &with);
		report = loop_report_result(sc, FEEDBACK_ACT, &with);
		text[i] = json_dumps(report, 0);
		assert_non_null(text[i]);
		json_decref(report);
		loop_result_fini(&with);
	}
	assert_int_equal(with.flows[2].sent, 24959); // of seed 8, by whatever compiler
	assert_string_equal(text[0], text[1]);
	assert_string_not_equal(text[0], text[2]);
	for (unsigned i = 0; i < 3; i++)
		free(text[i]);
	loop_scenario_destroy(sc);
}

// Hosts send a flow with a deadline of 2 ms to a receiver that is 1 ms away. Two things may delay
// it: bursts of 2.7 ms at the host, whose receiver is near, or cross traffic that fills the shared
// link.
static struct loop_scenario *
of_hosts(uint64_t n_hosts)
{
	struct loop_scenario *sc = scenario_of(sim_fixture_json(
		"{'kind': 'feedback', 'time': '6s', 'sample': '5ms', 'hosts': {'count': 1, 'rate': '100Mbit',"
		" 'latency': '20us', 'spread': '20ms'}, 'network': {'rate': '1Gbit', 'queue': "
		"2000},"
		" 'reports': {'latency': '200us', 'jitter': '2ms'}, 'feedback': {'clean': '1s'}, 'flows': ["
		"{'name': 'control', 'packet': 200, 'source': {'type': 'poisson', 'rate': '1600kbit'}, 'latency': "
		"'1ms',"
		" 'deadline': '2ms', 'min_rate': '8Mbit', 'burst': 1600},"
		"{'name': 'video', 'packet': 1500, 'source': {'type': 'bursts', 'rate': '28Mbit', 'burst': 33000},"
		" 'deadline': '3400us', 'min_rate': '30Mbit', 'burst': 34000}],"
		"'cross': [{'name': 'backup', 'packet': 1500, 'source': {'type': 'poisson', 'rate': '1Gbit'}}]}"));

	sc->hosts.count = n_hosts;
	sc->network.link_rate_bps = (n_hosts + 5) * 40000000;
	sc->cross[0].source.link_rate_bps = sc->network.link_rate_bps * 105 / 100;
	if (n_hosts > 100) { // fewer packets
		sc->cross[0].source.packet = 9000;
		sc->flows[0].source.link_rate_bps /= 4;
	}
	return sc;
}

// When there is something in the way: at the hosts, or in the network.
static void
set_load(struct stream_times *times, uint64_t from_ns, uint64_t to_ns)
{
	times->n = 1;
	times->at[0].from_ns = from_ns;
	times->at[0].to_ns = to_ns;
}

#define NEVER (SCENARIO_MAX_TIME_NS - 1), SCENARIO_MAX_TIME_NS
#define LOAD_NS (500 * MS), (1400 * MS)

static void
set_loads(struct loop_scenario *sc, bool at_host, bool in_network)
{
	if (at_host)
		set_load(&sc->flows[1].times, LOAD_NS);
	else
		set_load(&sc->flows[1].times, NEVER);
	if (in_network)
		set_load(&sc->cross[0].times, LOAD_NS);
	else
		set_load(&sc->cross[0].times, NEVER);
}

static uint64_t
rtt_of(const struct loop_scenario *sc)
{
	return sc->hosts.latency_ns + sc->flows[0].latency_ns + sc->reports.latency_ns + sc->reports.jitter_ns;
}

static uint64_t
larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void
set_distance(struct loop_scenario *sc, uint64_t one_way_ns)
{
	sc->flows[0].latency_ns = sc->reports.latency_ns = one_way_ns;
	sc->flows[0].deadline_ns = one_way_ns + MS;
}

static const uint64_t host_counts[] = {2, 30, 1000};
static const uint64_t distances_ns[] = {MS, 20 * MS};
#define N_PLACES 5u // a thousand hosts are near only: that takes long enough

static void
shorter_deadline_ends_misses_within_5_round_trips_or_50_ms(void **state)
{
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	for (unsigned i = 0; i < N_PLACES; i++) {
		if (UNIT_HAS_ASAN && host_counts[i % 3] > 30)
			continue; // of no more use to a sanitizer
		struct loop_scenario *sc = of_hosts(host_counts[i % 3]);

		set_distance(sc, distances_ns[i / 3]);
		sc->feedback.floor = 20; // below what the longer distance leaves
		set_loads(sc, true, false);
		run_both(sc, 1);
		assert_true(without.flows[0].longest_ns > 500 * MS);
		assert_true(r->missed && r->longest_ns <= larger(5 * rtt_of(sc), 50 * MS));
		// some miss nothing
		assert_true(r->events[FEEDBACK_SHORTENED] >= sc->hosts.count * 9 / 10);
		assert_int_equal(r->events[FEEDBACK_RAISED], 0); // it suffices
		assert_int_equal(r->at_start, sc->hosts.count);
		assert_int_equal(with.flows[1].missed, 0);
		fini_both();
		loop_scenario_destroy(sc);
	}
}

static void
higher_step_ends_misses_within_10_round_trips_or_100_ms(void **state)
{
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	for (unsigned i = 0; i < N_PLACES; i++) {
		if (UNIT_HAS_ASAN && host_counts[i % 3] > 30)
			continue; // of no more use to a sanitizer
		struct loop_scenario *sc = of_hosts(host_counts[i % 3]);

		set_distance(sc, distances_ns[i / 3]);
		set_loads(sc, false, true);
		run_both(sc, 1);
		assert_true(without.flows[0].longest_ns > 500 * MS);
		assert_true(r->missed && r->longest_ns <= larger(10 * rtt_of(sc), 100 * MS));
		assert_int_equal(r->events[FEEDBACK_RAISED], sc->hosts.count);
		// the network alone takes too long
		assert_int_equal(r->events[FEEDBACK_SHORTENED], 0);
		assert_int_equal(r->events[FEEDBACK_ESCALATED], 0);
		assert_int_equal(r->at_start, sc->hosts.count);
		fini_both();
		loop_scenario_destroy(sc);
	}
}

// Both loads for ten minutes: steps back that fail become rare, and what is found stays.
static void
constant_load_is_no_oscillation(void **state)
{
	struct loop_scenario *sc = of_hosts(2);
	const struct loop_result_flow *r = &with.flows[0];
	uint32_t n_changes = 0;

	(void)state;
	sc->time_ns = 600000 * MS;
	sc->sample_ns = 100 * MS;
	sc->cross[0].source.packet = 9000;
	sc->network.queue = 100; // 26 ms
	run(sc, FEEDBACK_ACT, 1, &with);
	for (uint32_t i = with.n_samples / 2; i < with.n_samples; i++)
		n_changes += r->samples[i].deadline_sum_ns != r->samples[i - 1].deadline_sum_ns ||
			r->samples[i].step_sum != r->samples[i - 1].step_sum;
	print_message("%llu episodes, %llu shortened, %llu raised, %llu of %llu missed; %u changes in the last half\n",
		(unsigned long long)r->episodes, (unsigned long long)r->events[FEEDBACK_SHORTENED],
		(unsigned long long)r->events[FEEDBACK_RAISED], (unsigned long long)r->missed,
		(unsigned long long)r->sent, n_changes);
	assert_true(r->events[FEEDBACK_SHORTENED] + r->events[FEEDBACK_RAISED] <= sc->hosts.count * 12);
	assert_true(n_changes <= sc->hosts.count * 4); // a step back and the way back, twice
	assert_int_equal(r->events[FEEDBACK_ESCALATED], 0);
	assert_true(r->missed < r->sent / 1000);
	loop_result_fini(&with);
	loop_scenario_destroy(sc);
}

// Under the same load all hosts come to the same answer, and none of them pays for the others.
static void
equal_hosts_are_treated_alike(void **state)
{
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	for (unsigned in_network = 0; in_network < 2; in_network++) {
		struct loop_scenario *sc = of_hosts(30);
		uint64_t n = sc->hosts.count;
		const struct loop_result_sample *s;

		set_loads(sc, !in_network, in_network);
		run(sc, FEEDBACK_ACT, 1, &with);
		s = &r->samples[1390 * MS / with.sample_ns];
		print_message("deadline of %llu us at least, %llu on average; %llu of %llu missed, %llu of one host\n",
			(unsigned long long)(s->deadline_min_ns / US),
			(unsigned long long)(s->deadline_sum_ns / n / US), (unsigned long long)r->missed,
			(unsigned long long)r->sent, (unsigned long long)r->missed_most);
		assert_int_equal(s->shortened, in_network ? 0 : n);
		assert_int_equal(s->step_sum, in_network ? n : 0);
		assert_true(s->deadline_min_ns * n * 10 >= s->deadline_sum_ns * 9);
		assert_true(r->missed_most * n <= 3 * r->missed);
		loop_result_fini(&with);
		loop_scenario_destroy(sc);
	}
}

// When the last packet that missed was sent, by the samples; 0: none.
static uint64_t
last_missed_ns(const struct loop_result *result)
{
	for (uint32_t i = result->n_samples; i-- > 0;)
		if (result->flows[0].samples[i].missed)
			return (i + 1) * result->sample_ns;
	return 0;
}

// No report comes through while the load begins, nor while another one ends.
static void
partition_delays_the_answer_and_nothing_else(void **state)
{
	// FLOW_DELAY_BURST reports: later ones would have to wait for the flow's bytes
	const uint64_t heal_ns = 500 * MS;
	struct loop_scenario *sc = of_hosts(10);
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	sc->reports.loss_percent = 100;
	sc->feedback.clean_ns = 2000 * MS;
	set_loads(sc, false, true);
	set_load(&sc->reports.loss_times, 0, heal_ns);
	run(sc, FEEDBACK_ACT, 1, &with);
	assert_int_equal(r->samples[heal_ns / with.sample_ns - 1].shortened, 0);
	assert_int_equal(r->samples[heal_ns / with.sample_ns - 1].raised, 0);
	print_message("misses end %llu ms after the partition\n",
		(unsigned long long)((last_missed_ns(&with) - heal_ns) / MS));
	assert_in_range(last_missed_ns(&with), heal_ns, heal_ns + 100 * MS);
	assert_int_equal(r->samples[(heal_ns + 300 * MS) / with.sample_ns].raised, sc->hosts.count);
	loop_result_fini(&with);

	sc->time_ns = 30000 * MS; // longer than a silence
	set_load(&sc->reports.loss_times, 510 * MS, SCENARIO_MAX_TIME_NS);
	run(sc, FEEDBACK_ACT, 1, &with);
	assert_true(r->events[FEEDBACK_RAISED] > 0); // by what came through before
	assert_int_equal(r->at_start, sc->hosts.count);
	loop_result_fini(&with);
	loop_scenario_destroy(sc);
}

// Data arrive, but three senders never hear of it. The others do not differ from hosts who are
// alone.
static void
hosts_that_hear_nothing_change_nothing(void **state)
{
	const uint64_t n_deaf = 3, n = 10;
	struct loop_scenario *sc = of_hosts(n);
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	sc->reports.loss_percent = 100;
	sc->reports.loss_hosts = n_deaf;
	sc->feedback.clean_ns = 2000 * MS;
	set_loads(sc, false, true);
	run_both(sc, 1);
	assert_int_equal(r->events[FEEDBACK_RAISED], n - n_deaf);
	assert_int_equal(r->samples[1200 * MS / with.sample_ns].raised, n - n_deaf);
	assert_true(r->missed * n < without.flows[0].missed * n_deaf * 11 / 10);
	assert_int_equal(r->at_start, n);
	fini_both();
	loop_scenario_destroy(sc);
}

static void
late_and_reordered_reports_cause_no_further_step(void **state)
{
	struct loop_scenario *sc = of_hosts(30);
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	sc->reports.latency_ns = 30 * MS;
	sc->reports.jitter_ns = 35 * MS; // of reports 10 ms apart
	set_loads(sc, false, true);
	for (uint64_t seed = 1; seed <= 3; seed++) {
		run_both(sc, seed);
		assert_true(r->longest_ns <= 10 * rtt_of(sc));
		assert_int_equal(r->events[FEEDBACK_RAISED], sc->hosts.count);
		assert_int_equal(r->events[FEEDBACK_SHORTENED], 0);
		assert_int_equal(r->at_start, sc->hosts.count);
		fini_both();
	}
	loop_scenario_destroy(sc);
}

static void
lost_reports_change_the_time_not_the_outcome(void **state)
{
	struct loop_scenario *sc = of_hosts(30);
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	sc->time_ns = 30000 * MS; // some hosts hear nothing of the end
	sc->reports.loss_percent = 50;
	set_loads(sc, true, true);
	run_both(sc, 1);
	assert_true(r->longest_ns <= 400 * MS);
	assert_true(r->missed < without.flows[0].missed / 5);
	assert_int_equal(r->events[FEEDBACK_RAISED], sc->hosts.count);
	assert_int_equal(r->events[FEEDBACK_ESCALATED], 0);
	assert_int_equal(r->at_start, sc->hosts.count);
	fini_both();
	sc->reports.loss_percent = 100;
	run(sc, FEEDBACK_ACT, 1, &with);
	for (unsigned event = FEEDBACK_NONE + 1; event < FEEDBACK_EVENTS; event++)
		assert_int_equal(r->events[event], 0);
	loop_result_fini(&with);
	loop_scenario_destroy(sc);
}

static void
what_no_step_helps_is_escalated(void **state)
{
	struct loop_scenario *sc = of_hosts(30);
	const struct loop_result_flow *r = &with.flows[0];

	(void)state;
	sc->network.steps = 1; // no ladder
	set_loads(sc, false, true);
	run_both(sc, 1);
	assert_int_equal(r->events[FEEDBACK_ESCALATED], sc->hosts.count);
	assert_int_equal(r->events[FEEDBACK_RAISED], 0);
	assert_true(r->longest_ns > 500 * MS);
	fini_both();
	loop_scenario_destroy(sc);
}

static void
more_packets_than_the_limit_end_the_run(void **state)
{
	struct loop_scenario *sc = scenario_of(sim_fixture_json(
		"{'kind': 'feedback', 'time': '1s', 'hosts': {'count': 20, 'rate': '1Gbit', 'latency': '1s'},"
		" 'network': {'rate': '400Gbit'}, 'flows': [{'name': 'f', 'packet': 64,"
		" 'source': {'type': 'cbr', 'rate': '900Mbit'}}]}"));

	(void)state;
	with.n_events = 77;
	assert_int_equal(loop_run(sc, FEEDBACK_ACT, 1, &with), -ENOSPC);
	assert_int_equal(with.n_events, 77);
	loop_scenario_destroy(sc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiny_scenario_has_the_numbers_of_paper_and_pencil),
		cmocka_unit_test(mistakes_are_named_with_what_is_accepted),
		cmocka_unit_test(what_is_not_given_has_a_default),
		cmocka_unit_test(shipped_example_ends_misses_and_returns_to_the_start),
		cmocka_unit_test(same_seed_gives_the_same_bytes),
		cmocka_unit_test(shorter_deadline_ends_misses_within_5_round_trips_or_50_ms),
		cmocka_unit_test(higher_step_ends_misses_within_10_round_trips_or_100_ms),
		cmocka_unit_test(constant_load_is_no_oscillation),
		cmocka_unit_test(equal_hosts_are_treated_alike),
		cmocka_unit_test(partition_delays_the_answer_and_nothing_else),
		cmocka_unit_test(hosts_that_hear_nothing_change_nothing),
		cmocka_unit_test(late_and_reordered_reports_cause_no_further_step),
		cmocka_unit_test(lost_reports_change_the_time_not_the_outcome),
		cmocka_unit_test(what_no_step_helps_is_escalated),
		cmocka_unit_test(more_packets_than_the_limit_end_the_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
