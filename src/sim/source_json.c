// Sources from JSON: a table of fields for each type, and the relations between the numbers.
#include "source_json.h"

#include "scenario.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define SOURCE_FIELD(name, kind, min, max, member, is_required) \
	{name, kind, min, max, offsetof(struct source_params, member), is_required}
#define SOURCE_TYPE {.name = "type", .kind = FIELD_OTHER, .is_required = true}
#define SOURCE_START SOURCE_FIELD("start", FIELD_TIME, 0, SCENARIO_MAX_TIME_NS, start_ns, false)
#define SOURCE_RATE(is_required) \
	SOURCE_FIELD("rate", FIELD_RATE, SCENARIO_MIN_RATE_BPS, SCENARIO_MAX_RATE_BPS, link_rate_bps, is_required)
static const struct field steady_fields[] = {SOURCE_TYPE, SOURCE_START, SOURCE_RATE(true)};
static const struct field onoff_fields[] = {
	SOURCE_TYPE,
	SOURCE_START,
	SOURCE_RATE(true),
	SOURCE_FIELD("on", FIELD_TIME, 1, SCENARIO_MAX_TIME_NS, on_ns, true),
	SOURCE_FIELD("off", FIELD_TIME, 1, SCENARIO_MAX_TIME_NS, off_ns, true),
};
static const struct field greedy_fields[] = {
	SOURCE_TYPE,
	SOURCE_START,
	SOURCE_RATE(false),
	SOURCE_FIELD("burst", FIELD_SIZE, 1, SCHED_BURST_MAX, burst_bytes, false),
};
static const struct field trace_fields[] = {SOURCE_TYPE, {.name = "packets", .kind = FIELD_OTHER, .is_required = true}};
static const struct {
	const struct field *fields;
	unsigned n;
} source_fields[SOURCE_COUNT] = {
	[SOURCE_CBR] = {steady_fields, COUNT(steady_fields)},
	[SOURCE_ONOFF] = {onoff_fields, COUNT(onoff_fields)},
	[SOURCE_POISSON] = {steady_fields, COUNT(steady_fields)},
	[SOURCE_GREEDY] = {greedy_fields, COUNT(greedy_fields)},
	[SOURCE_BURSTS] = {greedy_fields, COUNT(greedy_fields)},
	[SOURCE_TRACE] = {trace_fields, COUNT(trace_fields)},
};

static int
read_trace(struct source_params *p, const json_t *list, const char *where, char *err)
{
	static const struct field at = {.name = "packets", .max = SCENARIO_MAX_TIME_NS};
	static const struct field len = {.name = "packets", .kind = FIELD_SIZE, .min = 1, .max = SCENARIO_MAX_PACKET};
	json_t *pair;
	size_t i;

	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > SCENARIO_MAX_TRACE)
		return fields_refuse(
			err, where, "packets", "is not a list of 1 to %u pairs [time, bytes]", SCENARIO_MAX_TRACE);
	p->trace = calloc(json_array_size(list), sizeof(*p->trace));
	if (!p->trace)
		return -ENOMEM;
	p->n_trace = (uint32_t)json_array_size(list);
	json_array_foreach (list, i, pair) {
		int rc;

		if (json_array_size(pair) != 2)
			return fields_refuse(err, where, "packets", "element %zu is not a pair [time, bytes]", i);
		rc = fields_read_value(json_array_get(pair, 0), &at, where, &p->trace[i].at_ns, err);
		if (!rc)
			rc = fields_read_value(json_array_get(pair, 1), &len, where, &p->trace[i].len, err);
		if (rc)
			return rc;
		if (i && p->trace[i].at_ns < p->trace[i - 1].at_ns)
			return fields_refuse(err, where, "packets", "element %zu is before the last", i);
	}
	return 0;
}

int
source_json_read(struct source_params *p, const json_t *object, const char *where, char err[FIELDS_ERROR_SIZE])
{
	const char *type = json_string_value(json_object_get(object, "type"));
	int rc;

	for (p->type = 0; p->type < SOURCE_COUNT && (!type || strcmp(type, source_names[p->type]));)
		p->type++;
	if (p->type == SOURCE_COUNT)
		return fields_refuse(err, where, "type", "is not cbr, onoff, poisson, greedy, bursts or trace");
	rc = fields_read(object, source_fields[p->type].fields, source_fields[p->type].n, where, p, err);
	if (rc)
		return rc;
	if (p->type == SOURCE_TRACE)
		return read_trace(p, json_object_get(object, "packets"), where, err);
	if (!p->packet)
		return fields_refuse(err, where, "type", "%s needs the flow's packet", type);
	if (p->type != SOURCE_GREEDY && p->type != SOURCE_BURSTS)
		return 0;
	if (!p->link_rate_bps)
		return fields_refuse(err, where, "rate", "is missing, and so is the flow's min_rate");
	if (p->burst_bytes < p->packet)
		return fields_refuse(err, where, "burst", "is shorter than a packet of %" PRIu64 " bytes", p->packet);
	return 0;
}

void
source_json_fini(struct source_params *p)
{
	free(p->trace);
	p->trace = NULL;
}
