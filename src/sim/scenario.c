// The scenario of scenario.h from JSON: tables of fields, then the relations between the members.
// Counts, ranges, names and paths are checked, and each error names its member.
#include "scenario.h"

#include "source_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct field scenario_fields[] = {
	{"time", FIELD_TIME, 1, SCENARIO_MAX_TIME_NS, offsetof(struct scenario, time_ns), true},
	{"seed", FIELD_UINT, 0, SCENARIO_MAX_SEED, offsetof(struct scenario, seed), false},
	{.name = "hosts", .kind = FIELD_OTHER, .is_required = true},
	{.name = "flows", .kind = FIELD_OTHER, .is_required = true},
};
static const struct field host_fields[] = {
	{"rate", FIELD_RATE, SCENARIO_MIN_RATE_BPS, SCENARIO_MAX_RATE_BPS,
		offsetof(struct scenario_host, link_rate_bps), true},
	{"latency", FIELD_TIME, 0, SCENARIO_MAX_LATENCY_NS, offsetof(struct scenario_host, latency_ns), false},
	{.name = "name", .kind = FIELD_OTHER, .is_required = true},
	{.name = "to", .kind = FIELD_OTHER},
};
static const struct field flow_fields[] = {
	{"packet", FIELD_SIZE, 1, SCENARIO_MAX_PACKET, offsetof(struct scenario_flow, source.packet), false},
	{"deadline", FIELD_TIME, 1, SCHED_DEADLINE_MAX_NS, offsetof(struct scenario_flow, deadline_ns), false},
	{"min_rate", FIELD_RATE, SCENARIO_MIN_RATE_BPS, SCENARIO_MAX_RATE_BPS,
		offsetof(struct scenario_flow, min_rate_bps), false},
	{"burst", FIELD_SIZE, 1, SCHED_BURST_MAX, offsetof(struct scenario_flow, burst_bytes), false},
	{"weight", FIELD_UINT, 1, SCHED_WEIGHT_MAX, offsetof(struct scenario_flow, weight), false},
	{"queue", FIELD_UINT, 1, SCENARIO_MAX_QUEUE, offsetof(struct scenario_flow, queue), false},
	{.name = "name", .kind = FIELD_OTHER, .is_required = true},
	{.name = "path", .kind = FIELD_OTHER, .is_required = true},
	{.name = "source", .kind = FIELD_OTHER, .is_required = true},
	{.name = "late", .kind = FIELD_OTHER},
};

// -ENOENT: there is none.
static int
find_host(const struct scenario *sc, const json_t *name, uint32_t *ret_host)
{
	const char *text = json_string_value(name);

	for (uint32_t i = 0; text && i < sc->n_hosts; i++) {
		if (strcmp(sc->hosts[i].name, text))
			continue;
		*ret_host = i;
		return 0;
	}
	return -ENOENT;
}

static int
read_list(const json_t *root, const char *name, size_t max, char *err)
{
	const json_t *list = json_object_get(root, name);

	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > max)
		return fields_refuse(err, "", name, "is not a list of 1 to %zu", max);
	return 0;
}

static int
read_hosts(struct scenario *sc, const json_t *list, char *err)
{
	char where[FIELDS_WHERE_SIZE];
	json_t *object;
	size_t i;

	json_array_foreach (list, i, object) {
		struct scenario_host *h = &sc->hosts[i];
		uint32_t ignored;
		int rc;

		(void)snprintf(where, sizeof(where), "hosts[%zu]", i);
		rc = fields_read(object, host_fields, COUNT(host_fields), where, h, err);
		if (!rc)
			rc = fields_read_name(object, where, h->name, SCENARIO_NAME_SIZE, err);
		if (rc)
			return rc;
		if (!find_host(sc, json_object_get(object, "name"), &ignored))
			return fields_refuse(err, where, "name", "'%s' is given twice", h->name);
		sc->n_hosts++;
	}
	json_array_foreach (list, i, object) {
		const json_t *to = json_object_get(object, "to");

		(void)snprintf(where, sizeof(where), "hosts[%zu]", i);
		sc->hosts[i].has_next = to;
		if (to && find_host(sc, to, &sc->hosts[i].next))
			return fields_refuse(err, where, "to", "is not the name of a host");
	}
	return 0;
}

static int
read_path(const struct scenario *sc, struct scenario_flow *f, const json_t *list, const char *where, char *err)
{
	json_t *name;
	size_t i;

	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > SCENARIO_MAX_HOPS)
		return fields_refuse(err, where, "path", "is not a list of 1 to %u hosts", SCENARIO_MAX_HOPS);
	json_array_foreach (list, i, name) {
		const struct scenario_host *last = i ? &sc->hosts[f->path[i - 1]] : NULL;

		if (find_host(sc, name, &f->path[i]))
			return fields_refuse(err, where, "path", "element %zu is not the name of a host", i);
		if (last && (!last->has_next || last->next != f->path[i]))
			return fields_refuse(err, where, "path", "the link of %s does not go to %s", last->name,
				sc->hosts[f->path[i]].name);
		for (size_t k = 0; k < i; k++)
			if (f->path[k] == f->path[i])
				return fields_refuse(
					err, where, "path", "%s is on it twice", sc->hosts[f->path[i]].name);
	}
	f->n_hops = (uint32_t)json_array_size(list);
	return 0;
}

static int
read_source(struct scenario_flow *f, const json_t *object, const char *where, char *err)
{
	f->source.link_rate_bps = f->min_rate_bps;
	f->source.burst_bytes = f->burst_bytes;
	return source_json_read(&f->source, object, where, err);
}

// The relations between the numbers of one flow.
static int
check_flow(const struct scenario *sc, struct scenario_flow *f, const char *where, char *err)
{
	uint64_t latency_ns = 0;

	for (uint32_t i = 0; i < f->n_hops; i++)
		latency_ns += sc->hosts[f->path[i]].latency_ns;
	if (!f->min_rate_bps != !f->burst_bytes)
		return fields_refuse(
			err, where, f->min_rate_bps ? "burst" : "min_rate", "is missing: one needs the other");
	if (f->min_rate_bps && !f->deadline_ns)
		f->deadline_ns = SCHED_DEADLINE_DEFAULT_NS + latency_ns;
	if (f->deadline_ns && f->deadline_ns < latency_ns + f->n_hops)
		return fields_refuse(
			err, where, "deadline", "is not above the latencies of its path, %" PRIu64 " ns", latency_ns);
	return 0;
}

static int
read_late(const json_t *late, const char *where, bool *ret_drops_late, char *err)
{
	const char *text = late ? json_string_value(late) : "send";

	if (!text || (strcmp(text, "send") && strcmp(text, "drop")))
		return fields_refuse(err, where, "late", "is not send or drop");
	*ret_drops_late = !strcmp(text, "drop");
	return 0;
}

static int
read_flow(const struct scenario *sc, struct scenario_flow *f, const json_t *object, size_t i, char *err)
{
	char where[FIELDS_WHERE_SIZE], source[FIELDS_WHERE_SIZE];
	int rc;

	(void)snprintf(where, sizeof(where), "flows[%zu]", i);
	(void)snprintf(source, sizeof(source), "flows[%zu].source", i);
	f->weight = 1;
	f->queue = 1000;
	rc = fields_read(object, flow_fields, COUNT(flow_fields), where, f, err);
	if (!rc)
		rc = fields_read_name(object, where, f->name, SCENARIO_NAME_SIZE, err);
	for (size_t k = 0; !rc && k < i; k++)
		if (!strcmp(sc->flows[k].name, f->name))
			rc = fields_refuse(err, where, "name", "'%s' is given twice", f->name);
	if (!rc)
		rc = read_late(json_object_get(object, "late"), where, &f->drops_late, err);
	if (!rc)
		rc = read_path(sc, f, json_object_get(object, "path"), where, err);
	if (!rc)
		rc = read_source(f, json_object_get(object, "source"), source, err);
	return rc ? rc : check_flow(sc, f, where, err);
}

static int
read_all(struct scenario *sc, const json_t *root, char *err)
{
	const json_t *hosts = json_object_get(root, "hosts"), *flows = json_object_get(root, "flows");
	int rc = fields_read(root, scenario_fields, COUNT(scenario_fields), "scenario", sc, err);

	if (!rc)
		rc = read_list(root, "hosts", SCENARIO_MAX_HOSTS, err);
	if (!rc)
		rc = read_list(root, "flows", SCENARIO_MAX_FLOWS, err);
	if (rc)
		return rc;
	sc->hosts = calloc(json_array_size(hosts), sizeof(*sc->hosts));
	sc->flows = calloc(json_array_size(flows), sizeof(*sc->flows));
	if (!sc->hosts || !sc->flows)
		return -ENOMEM;
	rc = read_hosts(sc, hosts, err);
	for (size_t i = 0; !rc && i < json_array_size(flows); i++) {
		sc->n_flows++; // from here on its trace is freed with it
		rc = read_flow(sc, &sc->flows[i], json_array_get(flows, i), i, err);
	}
	return rc;
}

int
scenario_create(const json_t *root, struct scenario **ret_scenario, char err[FIELDS_ERROR_SIZE])
{
	struct scenario *sc = calloc(1, sizeof(*sc));
	int rc;

	if (!sc) {
		(void)snprintf(err, FIELDS_ERROR_SIZE, "out of memory");
		return -ENOMEM;
	}
	sc->seed = 1;
	rc = read_all(sc, root, err);
	if (rc == -ENOMEM)
		(void)snprintf(err, FIELDS_ERROR_SIZE, "out of memory");
	if (rc)
		scenario_destroy(sc);
	else
		*ret_scenario = sc;
	return rc;
}

int
scenario_load(const char *path, struct scenario **ret_scenario, char err[FIELDS_ERROR_SIZE])
{
	json_t *root = NULL;
	int rc = fields_load(path, &root, err);

	if (!rc)
		rc = scenario_create(root, ret_scenario, err);
	json_decref(root);
	return rc;
}

void
scenario_destroy(struct scenario *sc)
{
	if (!sc)
		return;
	for (uint32_t i = 0; i < sc->n_flows; i++)
		source_json_fini(&sc->flows[i].source);
	free(sc->flows);
	free(sc->hosts);
	free(sc);
}
