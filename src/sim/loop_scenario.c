// The scenario of loop_scenario.h from JSON: tables of fields, then the relations between the
// members.
#include "loop_scenario.h"

#include "source_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define AT(member) offsetof(struct loop_scenario, member)
#define RATE(name, member) {name, FIELD_RATE, SCENARIO_MIN_RATE_BPS, SCENARIO_MAX_RATE_BPS, AT(member), true}
#define LATENCY(name, member) {name, FIELD_TIME, 0, SCENARIO_MAX_LATENCY_NS, AT(member), false}
#define CLEAN(name, member) {name, FIELD_TIME, FEEDBACK_TIME_MIN_NS, FEEDBACK_TIME_MAX_NS, AT(member), false}

static const struct field root_fields[] = {
	{"time", FIELD_TIME, 1, SCENARIO_MAX_TIME_NS, AT(time_ns), true},
	{"seed", FIELD_UINT, 0, SCENARIO_MAX_SEED, AT(seed), false},
	{"sample", FIELD_TIME, 1, SCENARIO_MAX_TIME_NS, AT(sample_ns), false},
	{.name = "kind", .kind = FIELD_OTHER, .is_required = true},
	{.name = "hosts", .kind = FIELD_OTHER, .is_required = true},
	{.name = "network", .kind = FIELD_OTHER, .is_required = true},
	{.name = "reports", .kind = FIELD_OTHER},
	{.name = "feedback", .kind = FIELD_OTHER},
	{.name = "flows", .kind = FIELD_OTHER, .is_required = true},
	{.name = "cross", .kind = FIELD_OTHER},
};
static const struct field hosts_fields[] = {
	{"count", FIELD_UINT, 1, LOOP_MAX_HOSTS, AT(hosts.count), true},
	RATE("rate", hosts.link_rate_bps),
	LATENCY("latency", hosts.latency_ns),
	LATENCY("spread", hosts.spread_ns),
	LATENCY("clock_error", hosts.clock_error_ns),
};
static const struct field network_fields[] = {
	RATE("rate", network.link_rate_bps),
	{"queue", FIELD_UINT, 1, SCENARIO_MAX_QUEUE, AT(network.queue), false},
	{"steps", FIELD_UINT, 1, FEEDBACK_MAX_STEPS, AT(network.steps), false},
};
static const struct field reports_fields[] = {
	{"interval", FIELD_TIME, MS, SECOND, AT(reports.interval_ns), false},
	LATENCY("latency", reports.latency_ns),
	LATENCY("jitter", reports.jitter_ns),
	{"loss", FIELD_UINT, 0, LOOP_MAX_LOSS_PERCENT, AT(reports.loss_percent), false},
	{"loss_hosts", FIELD_UINT, 1, LOOP_MAX_HOSTS, AT(reports.loss_hosts), false},
	{.name = "loss_times", .kind = FIELD_OTHER},
};
static const struct field feedback_fields[] = {
	{"gain", FIELD_UINT, 1, FEEDBACK_MAX_GAIN_PERMILLE, AT(feedback.gain), false},
	{"margin", FIELD_UINT, 1, 1000, AT(feedback.margin), false},
	{"floor", FIELD_UINT, 1, 1000, AT(feedback.floor), false},
	CLEAN("clean", feedback.clean_ns),
	CLEAN("clean_max", feedback.clean_max_ns),
	CLEAN("forgive", feedback.forgive_ns),
	CLEAN("silence", feedback.silence_ns),
};
static const struct {
	const char *name;
	const struct field *fields;
	unsigned n;
} parts[] = {
	{"hosts", hosts_fields, COUNT(hosts_fields)},
	{"network", network_fields, COUNT(network_fields)},
	{"reports", reports_fields, COUNT(reports_fields)},
	{"feedback", feedback_fields, COUNT(feedback_fields)},
};

#define OF_FLOW(member) offsetof(struct loop_flow, member)
static const struct field flow_fields[] = {
	{"packet", FIELD_SIZE, 1, SCENARIO_MAX_PACKET, OF_FLOW(source.packet), true},
	{"deadline", FIELD_TIME, 1, FEEDBACK_DEADLINE_MAX_NS, OF_FLOW(deadline_ns), false},
	{"min_rate", FIELD_RATE, SCENARIO_MIN_RATE_BPS, SCENARIO_MAX_RATE_BPS, OF_FLOW(min_rate_bps), false},
	{"burst", FIELD_SIZE, 1, SCHED_BURST_MAX, OF_FLOW(burst_bytes), false},
	{"weight", FIELD_UINT, 1, SCHED_WEIGHT_MAX, OF_FLOW(weight), false},
	{"queue", FIELD_UINT, 1, SCENARIO_MAX_QUEUE, OF_FLOW(queue), false},
	{"latency", FIELD_TIME, 0, SCENARIO_MAX_LATENCY_NS, OF_FLOW(latency_ns), false},
	{.name = "name", .kind = FIELD_OTHER, .is_required = true},
	{.name = "source", .kind = FIELD_OTHER, .is_required = true},
	{.name = "times", .kind = FIELD_OTHER},
};
static const struct field cross_fields[] = {
	{"packet", FIELD_SIZE, 1, SCENARIO_MAX_PACKET, offsetof(struct loop_cross, source.packet), true},
	{"step", FIELD_UINT, 0, FEEDBACK_MAX_STEPS - 1, offsetof(struct loop_cross, step), false},
	{.name = "name", .kind = FIELD_OTHER, .is_required = true},
	{.name = "source", .kind = FIELD_OTHER, .is_required = true},
	{.name = "times", .kind = FIELD_OTHER},
};

bool
loop_scenario_is_one(const json_t *root)
{
	return json_object_get(root, "kind");
}

struct feedback_params
loop_scenario_control(const struct loop_scenario *sc, uint32_t flow, enum feedback_mode mode)
{
	return (struct feedback_params){.mode = mode,
		.deadline_ns = sc->flows[flow].deadline_ns,
		.n_steps = (uint32_t)sc->network.steps,
		.gain_permille = (uint32_t)sc->feedback.gain,
		.margin_permille = (uint32_t)sc->feedback.margin,
		.floor_permille = (uint32_t)sc->feedback.floor,
		.clean_ns = sc->feedback.clean_ns,
		.clean_max_ns = sc->feedback.clean_max_ns,
		.forgive_ns = sc->feedback.forgive_ns,
		.silence_ns = sc->feedback.silence_ns};
}

static void
set_defaults(struct loop_scenario *sc)
{
	struct feedback_params p = feedback_params_default(SECOND, 1);

	sc->seed = 1;
	sc->hosts.spread_ns = MS;
	sc->network.queue = 1000;
	sc->network.steps = 3;
	sc->reports.interval_ns = FLOW_DELAY_INTERVAL_NS;
	sc->reports.loss_hosts = LOOP_MAX_HOSTS;
	sc->feedback.gain = p.gain_permille;
	sc->feedback.margin = p.margin_permille;
	sc->feedback.floor = p.floor_permille;
	sc->feedback.clean_ns = p.clean_ns;
	sc->feedback.clean_max_ns = p.clean_max_ns;
	sc->feedback.forgive_ns = p.forgive_ns;
	sc->feedback.silence_ns = p.silence_ns;
}

// A member with periods; without it, always.
static int
read_times(const json_t *object, const char *name, const char *where, struct stream_times *ret_times, char *err)
{
	const struct field at = {.name = name, .max = SCENARIO_MAX_TIME_NS};
	const json_t *list = json_object_get(object, name);
	json_t *pair;
	size_t i;

	*ret_times = (struct stream_times){.n = 1, .at = {{0, SCENARIO_MAX_TIME_NS}}};
	if (!list)
		return 0;
	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > STREAM_MAX_PERIODS)
		return fields_refuse(err, where, name, "is not a list of 1 to %u pairs [from, to]", STREAM_MAX_PERIODS);
	json_array_foreach (list, i, pair) {
		uint64_t from_ns, to_ns, last_ns = i ? ret_times->at[i - 1].to_ns : 0;
		int rc;

		if (json_array_size(pair) != 2)
			return fields_refuse(err, where, name, "element %zu is not a pair [from, to]", i);
		rc = fields_read_value(json_array_get(pair, 0), &at, where, &from_ns, err);
		if (!rc)
			rc = fields_read_value(json_array_get(pair, 1), &at, where, &to_ns, err);
		if (rc)
			return rc;
		if (from_ns >= to_ns || from_ns < last_ns)
			return fields_refuse(
				err, where, name, "element %zu ends before it begins, or begins too early", i);
		ret_times->at[i].from_ns = from_ns;
		ret_times->at[i].to_ns = to_ns;
	}
	ret_times->n = (uint32_t)json_array_size(list);
	return 0;
}

static int
read_source(struct source_params *p, const json_t *object, const char *where, char *err)
{
	char source[FIELDS_WHERE_SIZE];

	int rc;

	(void)snprintf(source, sizeof(source), "%s.source", where);
	rc = source_json_read(p, json_object_get(object, "source"), source, err);
	if (!rc && p->type == SOURCE_TRACE)
		return fields_refuse(err, source, "type", "trace is not for this kind of scenario");
	return rc;
}

static int
check_flow(const struct loop_scenario *sc, const struct loop_flow *f, const char *where, char *err)
{
	uint64_t latency_ns = sc->hosts.latency_ns + f->latency_ns;

	if (!f->min_rate_bps != !f->burst_bytes)
		return fields_refuse(
			err, where, f->min_rate_bps ? "burst" : "min_rate", "is missing: one needs the other");
	if (f->deadline_ns && f->deadline_ns <= latency_ns)
		return fields_refuse(
			err, where, "deadline", "is not above the latencies of its way, %" PRIu64 " ns", latency_ns);
	if (sc->hosts.clock_error_ns && f->deadline_ns &&
		!flow_delay_can_judge(f->deadline_ns, sc->hosts.clock_error_ns))
		return fields_refuse(err, where, "deadline", "is below twice the hosts' clock_error");
	return 0;
}

static int
read_flow(struct loop_scenario *sc, uint32_t i, const json_t *object, char *err)
{
	struct loop_flow *f = &sc->flows[i];
	char where[FIELDS_WHERE_SIZE];
	int rc;

	(void)snprintf(where, sizeof(where), "flows[%" PRIu32 "]", i);
	f->weight = 1;
	f->queue = 1000;
	rc = fields_read(object, flow_fields, COUNT(flow_fields), where, f, err);
	if (!rc)
		rc = fields_read_name(object, where, f->name, SCENARIO_NAME_SIZE, err);
	for (uint32_t k = 0; !rc && k < i; k++)
		if (!strcmp(sc->flows[k].name, f->name))
			rc = fields_refuse(err, where, "name", "'%s' is given twice", f->name);
	if (!rc)
		rc = read_times(object, "times", where, &f->times, err);
	if (rc)
		return rc;
	f->source.link_rate_bps = f->min_rate_bps;
	f->source.burst_bytes = f->burst_bytes;
	rc = read_source(&f->source, object, where, err);
	return rc ? rc : check_flow(sc, f, where, err);
}

static int
read_cross(struct loop_scenario *sc, uint32_t i, const json_t *object, char *err)
{
	struct loop_cross *c = &sc->cross[i];
	char where[FIELDS_WHERE_SIZE];
	int rc;

	(void)snprintf(where, sizeof(where), "cross[%" PRIu32 "]", i);
	rc = fields_read(object, cross_fields, COUNT(cross_fields), where, c, err);
	if (!rc && c->step >= sc->network.steps)
		rc = fields_refuse(err, where, "step", "is not below the network's %" PRIu64, sc->network.steps);
	if (!rc)
		rc = fields_read_name(object, where, c->name, SCENARIO_NAME_SIZE, err);
	if (!rc)
		rc = read_times(object, "times", where, &c->times, err);
	return rc ? rc : read_source(&c->source, object, where, err);
}

static int
read_list(struct loop_scenario *sc, const json_t *root, const char *name, uint32_t max, uint32_t *n,
	int (*read)(struct loop_scenario *, uint32_t, const json_t *, char *), char *err)
{
	const json_t *list = json_object_get(root, name);
	int rc = 0;

	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > max)
		return fields_refuse(err, "", name, "is not a list of 1 to %" PRIu32, max);
	for (size_t i = 0; !rc && i < json_array_size(list); i++) {
		(*n)++; // from here on its trace is freed with it
		rc = read(sc, (uint32_t)i, json_array_get(list, i), err);
	}
	return rc;
}

static int
read_all(struct loop_scenario *sc, const json_t *root, char *err)
{
	const char *kind = json_string_value(json_object_get(root, "kind"));
	int rc = fields_read(root, root_fields, COUNT(root_fields), "scenario", sc, err);

	if (!rc && (!kind || strcmp(kind, "feedback")))
		rc = fields_refuse(err, "scenario", "kind", "is not feedback");
	for (unsigned i = 0; !rc && i < COUNT(parts); i++) {
		const json_t *object = json_object_get(root, parts[i].name);

		if (object)
			rc = fields_read(object, parts[i].fields, parts[i].n, parts[i].name, sc, err);
	}
	if (!rc)
		rc = read_times(
			json_object_get(root, "reports"), "loss_times", "reports", &sc->reports.loss_times, err);
	if (!rc && sc->feedback.clean_max_ns < sc->feedback.clean_ns)
		rc = fields_refuse(err, "feedback", "clean_max", "is below clean");
	if (!rc)
		rc = read_list(sc, root, "flows", LOOP_MAX_FLOWS, &sc->n_flows, read_flow, err);
	if (!rc && json_object_get(root, "cross"))
		rc = read_list(sc, root, "cross", LOOP_MAX_CROSS, &sc->n_cross, read_cross, err);
	return rc;
}

int
loop_scenario_create(const json_t *root, struct loop_scenario **ret_scenario, char err[FIELDS_ERROR_SIZE])
{
	struct loop_scenario *sc = calloc(1, sizeof(*sc));
	int rc;

	if (!sc) {
		(void)snprintf(err, FIELDS_ERROR_SIZE, "out of memory");
		return -ENOMEM;
	}
	set_defaults(sc);
	rc = read_all(sc, root, err);
	if (rc == -ENOMEM)
		(void)snprintf(err, FIELDS_ERROR_SIZE, "out of memory");
	if (rc)
		loop_scenario_destroy(sc);
	else
		*ret_scenario = sc;
	return rc;
}

void
loop_scenario_destroy(struct loop_scenario *sc)
{
	if (!sc)
		return;
	for (uint32_t i = 0; i < sc->n_flows; i++)
		source_json_fini(&sc->flows[i].source);
	for (uint32_t i = 0; i < sc->n_cross; i++)
		source_json_fini(&sc->cross[i].source);
	free(sc);
}
