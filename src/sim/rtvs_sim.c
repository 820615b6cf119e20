// rtvs-sim: words of the command line become runs of scenarios or of random trials, their results
// tables or JSON. sim.h describes a run, scenario.h a scenario.
#include "loop_report.h"
#include "report.h"
#include "rtvs/output.h"
#include "rtvs/text.h"
#include "rtvs/units.h"
#include "trial.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXAMPLES 5u
#define POLICY_NAME_SIZE 16u

enum status {
	STATUS_OK,
	STATUS_REFUSED, // or promised and not kept
	STATUS_USAGE,
};

struct options {
	bool policies[POLICY_COUNT];
	bool has_policies, has_seed, is_json;
	uint64_t seed, time_ns, n_sets; // time_ns 0: the scenario's
};

static void
usage(void)
{
	puts("usage: rtvs-sim run SCENARIO.json [--policy NAMES] [--seed N] [--time TIME] [-j]\n"
	     "       rtvs-sim admit SCENARIO.json [-j]\n"
	     "       rtvs-sim random [--sets N] [--seed N] [-j]\n"
	     "\n"
	     "Simulates egress ports that schedule by deadline: the switch's own scheduler and admission test under\n"
	     "virtual time. The same seed gives the same output on every machine.\n"
	     "\n"
	     "  run       delays, misses and rates of a scenario's flows under each policy; of a scenario of feedback, "
	     "without and\n"
	     "            with it\n"
	     "  admit     whether the links can keep what the flows are promised\n"
	     "  random    random flow sets: tries what is admitted with the worst arrivals, shows what is refused\n"
	     "\n"
	     "  -p, --policy NAMES  of edf,fifo,priority,drr; default: all\n"
	     "  -s, --seed N        of random arrivals or sets; default: the scenario's, or 1\n"
	     "  -t, --time TIME     instead of the scenario's, up to 1h\n"
	     "  -n, --sets N        1 to 1000000; default 1000\n"
	     "  -j, --json          print JSON\n"
	     "  -h, --help          print this        -V, --version  print the version\n"
	     "\n"
	     "Exit status: 0 done, 1 scenario refused, not admitted, or a promise broken, 2 wrong usage.");
}

static int
wrong(const char *what, const char *value)
{
	fprintf(stderr, "rtvs-sim: %s%s\nTry 'rtvs-sim --help'.\n", what, value);
	return STATUS_USAGE;
}

static int
refused(const char *what, const char *why)
{
	fprintf(stderr, "rtvs-sim: %s: %s\n", what, why);
	return STATUS_REFUSED;
}

static bool
parse_policies(const char *text, bool *ret_policies)
{
	const char *cursor = text;
	char name[POLICY_NAME_SIZE];

	for (unsigned i = 0; i < POLICY_COUNT; i++)
		ret_policies[i] = false;
	while (text_next_piece(&cursor, name, sizeof(name))) {
		unsigned i = 0;

		while (i < POLICY_COUNT && strcmp(name, policy_names[i]))
			i++;
		if (i == POLICY_COUNT)
			return false;
		ret_policies[i] = true;
	}
	return true;
}

// STATUS_OK, or what wrong() returned.
static int
parse_option(int c, const char *value, struct options *o)
{
	switch (c) {
	case 'p':
		o->has_policies = true;
		return parse_policies(value, o->policies) ? STATUS_OK :
							    wrong("--policy: there is no such one in ", value);
	case 's':
		o->has_seed = true;
		if (!units_parse_uint(value, &o->seed) && o->seed <= SCENARIO_MAX_SEED)
			return STATUS_OK;
		return wrong("--seed: is not a number from 0 to 9223372036854775807: ", value);
	case 't':
		if (!units_parse_time(value, &o->time_ns) && o->time_ns && o->time_ns <= SCENARIO_MAX_TIME_NS)
			return STATUS_OK;
		return wrong("--time: is not a time from 1ns to 1h: ", value);
	case 'n':
		if (!units_parse_uint(value, &o->n_sets) && o->n_sets && o->n_sets <= TRIAL_MAX_SETS)
			return STATUS_OK;
		return wrong("--sets: is not a number from 1 to 1000000: ", value);
	case 'j':
		o->is_json = true;
		return STATUS_OK;
	default:
		return wrong("unknown option", "");
	}
}

static int
print_json(json_t *root)
{
	int rc = root ? json_dumpf(root, stdout, JSON_INDENT(1)) : -1;

	json_decref(root);
	if (rc)
		return refused("report", strerror(ENOMEM));
	putchar('\n');
	return STATUS_OK;
}

// All policies into *ret_list, tables as they come. ret_broken: promises of admission that edf did
// not keep.
static int
run_policies(const struct scenario *sc, const struct options *o, json_t *list, uint64_t *ret_broken)
{
	*ret_broken = 0;
	for (unsigned i = 0; i < POLICY_COUNT; i++) {
		struct sim_result result;
		json_t *report;
		int rc;

		if (!o->policies[i])
			continue;
		rc = sim_run(sc, (enum policy_type)i, sc->seed, &result);
		if (rc == -EOVERFLOW)
			return refused(policy_names[i], "too many events; shorten the time");
		if (rc == -ENOSPC)
			return refused(policy_names[i], "too many packets at one time; shorten queues or latencies");
		if (rc)
			return refused(policy_names[i], strerror(-rc));
		for (uint32_t f = 0; f < sc->n_flows; f++)
			*ret_broken += result.flows[f].broken;
		report = report_result(sc, (enum policy_type)i, &result);
		sim_fini(&result);
		if (report && !o->is_json)
			report_print_result(report, stdout);
		if (json_array_append_new(list, report))
			return refused("report", strerror(ENOMEM));
	}
	return STATUS_OK;
}

static int
run_scenario(const struct scenario *sc, const struct options *o)
{
	bool fits;
	json_t *admission = report_admission(sc, &fits), *list = json_array();
	uint64_t n_broken = 0;
	int rc;

	if (admission && !o->is_json)
		report_print_admission(admission, stdout);
	rc = admission && list ? run_policies(sc, o, list, &n_broken) : refused("report", strerror(ENOMEM));
	if (rc || !o->is_json) {
		json_decref(admission);
		json_decref(list);
	} else {
		rc = print_json(json_pack("{s:I, s:I, s:o, s:o}", "time_ns", (json_int_t)sc->time_ns, "seed",
			(json_int_t)sc->seed, "admission", admission, "policies", list));
	}
	if (!rc && fits && n_broken)
		return refused("edf", "a guarantee was admitted and not kept");
	return rc;
}

static int
admit_scenario(const struct scenario *sc, const struct options *o)
{
	bool fits;
	json_t *admission = report_admission(sc, &fits);

	if (!admission)
		return refused("report", strerror(ENOMEM));
	if (o->is_json && print_json(json_incref(admission)))
		fits = false;
	if (!o->is_json)
		report_print_admission(admission, stdout);
	json_decref(admission);
	return fits ? STATUS_OK : STATUS_REFUSED;
}

static int
with_paths(const char *path, const json_t *root, const struct options *o,
	int (*fn)(const struct scenario *, const struct options *))
{
	struct scenario *sc = NULL;
	char err[FIELDS_ERROR_SIZE];
	int rc;

	if (scenario_create(root, &sc, err))
		return refused(path, err);
	if (o->time_ns)
		sc->time_ns = o->time_ns;
	if (o->has_seed)
		sc->seed = o->seed;
	rc = fn(sc, o);
	scenario_destroy(sc);
	return rc;
}

// Without and with the controllers, tables as they come.
static int
run_modes(const struct loop_scenario *sc, const struct options *o, json_t *list)
{
	static const enum feedback_mode modes[] = {FEEDBACK_MEASURE, FEEDBACK_ACT};

	for (unsigned i = 0; i < 2; i++) {
		struct loop_result *result = calloc(1, sizeof(*result));
		int rc = result ? loop_run(sc, modes[i], sc->seed, result) : -ENOMEM;
		json_t *report = rc ? NULL : loop_report_result(sc, modes[i], result);

		if (!rc)
			loop_result_fini(result);
		free(result);
		if (rc == -ENOSPC)
			return refused(loop_report_modes[modes[i]],
				"too many packets at one time; shorten queues or latencies");
		if (report && !o->is_json)
			loop_report_print(report, stdout);
		if (rc || json_array_append_new(list, report))
			return refused("report", strerror(ENOMEM));
	}
	return STATUS_OK;
}

static int
run_loop(const char *path, const json_t *root, const struct options *o)
{
	struct loop_scenario *sc = NULL;
	char err[FIELDS_ERROR_SIZE];
	json_t *list = json_array();
	int rc;

	if (loop_scenario_create(root, &sc, err)) {
		json_decref(list);
		return refused(path, err);
	}
	if (o->time_ns)
		sc->time_ns = o->time_ns;
	if (o->has_seed)
		sc->seed = o->seed;
	rc = run_modes(sc, o, list);
	if (!rc && o->is_json)
		rc = print_json(
			json_pack("{s:s, s:I, s:I, s:I, s:O}", "kind", "feedback", "time_ns", (json_int_t)sc->time_ns,
				"seed", (json_int_t)sc->seed, "hosts", (json_int_t)sc->hosts.count, "runs", list));
	json_decref(list);
	loop_scenario_destroy(sc);
	return rc;
}

static int
with_scenario(const char *command, const char *path, const struct options *o)
{
	bool is_run = !strcmp(command, "run");
	char err[FIELDS_ERROR_SIZE];
	json_t *root = NULL;
	int rc;

	if (fields_load(path, &root, err))
		return refused(path, err);
	if (!loop_scenario_is_one(root))
		rc = with_paths(path, root, o, is_run ? run_scenario : admit_scenario);
	else if (!is_run)
		rc = refused(path, "admission is for scenarios of paths");
	else if (o->has_policies)
		rc = refused(path, "--policy is for scenarios of paths");
	else
		rc = run_loop(path, root, o);
	json_decref(root);
	return rc;
}

static void
print_example(void *arg, const struct trial_example *e)
{
	unsigned *n_printed = arg;
	char t[UNITS_TEXT_SIZE], late[UNITS_TEXT_SIZE];

	if ((*n_printed)++ >= MAX_EXAMPLES)
		return;
	printf("set %" PRIu64 ", %" PRIu32 " flows, refused: by t=%s %" PRIu64 " bytes may be due of %" PRIu64
	       " carried. All bursts at once: %s late\n",
		e->set, e->n_flows, units_format_time(e->result.t_ns, t), e->result.demand_bytes,
		e->result.supply_bytes, units_format_time(e->worst_late_ns, late));
}

static json_t *
counts_json(const struct trial_counts *c)
{
	const struct {
		const char *name;
		uint64_t n;
	} counts[] = {{"sets", c->sets}, {"admitted", c->admitted}, {"broken", c->broken}, {"refused", c->refused},
		{"shown", c->shown}, {"partial", c->partial}, {"not_shown", c->not_shown}, {"runs", c->runs},
		{"packets", c->packets}, {"closest_permille", c->closest_permille}};
	json_t *object = json_object();

	for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		(void)json_object_set_new(object, counts[i].name, json_integer((json_int_t)counts[i].n));
	return object;
}

static int
run_random(const struct options *o)
{
	struct trial_counts c;
	unsigned n_printed = 0;
	int rc = trial_run(o->n_sets, o->has_seed ? o->seed : 1, o->is_json ? NULL : print_example, &n_printed, &c);

	if (rc)
		return refused("random", strerror(-rc));
	if (o->is_json) {
		rc = print_json(counts_json(&c));
	} else {
		printf("%" PRIu64 " sets, %" PRIu64 " runs, %" PRIu64 " packets\n", c.sets, c.runs, c.packets);
		printf("admitted: %" PRIu64 ", late in %" PRIu64 "; the worst packet took %" PRIu64 ".%" PRIu64
		       " %% of its deadline\n",
			c.admitted, c.broken, c.closest_permille / 10, c.closest_permille % 10);
		printf("refused: %" PRIu64 ", late in %" PRIu64 "; by less than packets not whole %" PRIu64
		       ", without reason %" PRIu64 "\n",
			c.refused, c.shown, c.partial, c.not_shown);
	}
	return rc ? rc : trial_is_right(&c) ? STATUS_OK : STATUS_REFUSED;
}

static int
run_command(int argc, char **argv, const struct options *o)
{
	if (argc == 0)
		return wrong("what shall be done?", "");
	if (!strcmp(argv[0], "random"))
		return argc == 1 ? run_random(o) : wrong("random takes no ", argv[1]);
	if (strcmp(argv[0], "run") && strcmp(argv[0], "admit"))
		return wrong("there is no command ", argv[0]);
	if (argc != 2)
		return wrong(argv[0], " takes one scenario");
	return with_scenario(argv[0], argv[1], o);
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {{"policy", required_argument, NULL, 'p'},
		{"seed", required_argument, NULL, 's'}, {"time", required_argument, NULL, 't'},
		{"sets", required_argument, NULL, 'n'}, {"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	struct options o = {.policies = {true, true, true, true}, .n_sets = 1000};
	int c;

	output_guard(STATUS_REFUSED);
	while ((c = getopt_long(argc, argv, "p:s:t:n:jhV", long_options, NULL)) != -1) {
		if (c == 'h') {
			usage();
			return STATUS_OK;
		}
		if (c == 'V') {
			puts("rtvs-sim " RTVS_VERSION);
			return STATUS_OK;
		}
		if (parse_option(c, optarg, &o))
			return STATUS_USAGE;
	}
	return run_command(argc - optind, argv + optind, &o);
}
