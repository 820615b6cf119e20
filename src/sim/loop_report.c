// Reports of loop_report.h. Series have a number for each sample; a figure of hosts is of all of
// them together.
#include "loop_report.h"

#include <inttypes.h>

const char *const loop_report_modes[] = {"off", "measure", "act"};
static const char *const event_names[FEEDBACK_EVENTS] = {
	[FEEDBACK_SHORTENED] = "shortened",
	[FEEDBACK_RAISED] = "raised",
	[FEEDBACK_ESCALATED] = "escalated",
	[FEEDBACK_RELAXED] = "relaxed",
	[FEEDBACK_RECOVERED] = "recovered",
};
static const struct {
	const char *name;
	size_t offset; // of a uint64_t in struct loop_result_sample
} series[] = {
	{"missed", offsetof(struct loop_result_sample, missed)},
	{"worst_ns", offsetof(struct loop_result_sample, worst_ns)},
	{"deadline_min_ns", offsetof(struct loop_result_sample, deadline_min_ns)},
	{"deadline_sum_ns", offsetof(struct loop_result_sample, deadline_sum_ns)},
	{"step_sum", offsetof(struct loop_result_sample, step_sum)},
	{"shortened", offsetof(struct loop_result_sample, shortened)},
	{"raised", offsetof(struct loop_result_sample, raised)},
	{"escalated", offsetof(struct loop_result_sample, escalated)},
};

static void
set(json_t *object, const char *name, uint64_t value)
{
	(void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *
series_of(const struct loop_result_flow *r, uint32_t n_samples)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < sizeof(series) / sizeof(*series); i++) {
		json_t *list = json_array();

		for (uint32_t k = 0; list && k < n_samples; k++) {
			const char *sample = (const char *)&r->samples[k];

			(void)json_array_append_new(list,
				json_integer(
					(json_int_t) * (const uint64_t *)(const void *)(sample + series[i].offset)));
		}
		(void)json_object_set_new(object, series[i].name, list);
	}
	return object;
}

static json_t *
flow_of(const struct loop_scenario *sc, uint32_t id, const struct loop_result *result)
{
	const struct loop_result_flow *r = &result->flows[id];
	json_t *object = json_pack("{s:s}", "flow", sc->flows[id].name), *events = json_object();

	if (sc->flows[id].deadline_ns)
		set(object, "deadline_ns", sc->flows[id].deadline_ns);
	set(object, "sent", r->sent);
	set(object, "delivered", r->delivered);
	set(object, "missed", r->missed);
	set(object, "missed_most", r->missed_most);
	set(object, "episodes", r->episodes);
	set(object, "longest_ns", r->longest_ns);
	set(object, "dropped_full", r->full);
	set(object, "lost", r->lost);
	set(object, "p50_ns", hist_percentile(&r->delay, 50000));
	set(object, "p99_ns", hist_percentile(&r->delay, 99000));
	set(object, "p999_ns", hist_percentile(&r->delay, 99900));
	set(object, "max_ns", r->delay.max);
	set(object, "reports", r->reports);
	set(object, "reports_lost", r->reports_lost);
	set(object, "reports_most", r->reports_most);
	for (unsigned i = FEEDBACK_NONE + 1; i < FEEDBACK_EVENTS; i++)
		set(events, event_names[i], r->events[i]);
	(void)json_object_set_new(object, "events", events);
	set(object, "hosts_at_start", r->at_start);
	(void)json_object_set_new(object, "series", series_of(r, result->n_samples));
	return object;
}

json_t *
loop_report_result(const struct loop_scenario *sc, enum feedback_mode mode, const struct loop_result *result)
{
	json_t *object = json_pack("{s:s}", "mode", loop_report_modes[mode]), *flows = json_array();

	set(object, "events", result->n_events);
	set(object, "sample_ns", result->sample_ns);
	set(object, "cross_sent", result->cross_sent);
	set(object, "cross_lost", result->cross_lost);
	for (uint32_t i = 0; i < sc->n_flows; i++)
		(void)json_array_append_new(flows, flow_of(sc, i, result));
	if (json_object_set_new(object, "flows", flows)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static uint64_t
number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

// ns as us with one decimal.
static void
print_us(const json_t *flow, const char *key, FILE *out)
{
	uint64_t ns = number(flow, key);

	fprintf(out, " %8" PRIu64 ".%" PRIu64, ns / 1000, ns % 1000 / 100);
}

void
loop_report_print(const json_t *result, FILE *out)
{
	json_t *flow;
	size_t i;

	fprintf(out, "\n%-16s %9s %9s %9s %9s %10s %10s %10s %12s  %9s %6s %9s %7s %9s\n",
		json_string_value(json_object_get(result, "mode")), "sent", "missed", "full", "lost", "p50 us",
		"p99 us", "max us", "longest us", "shortened", "raised", "escalated", "relaxed", "recovered");
	json_array_foreach (json_object_get(result, "flows"), i, flow) {
		const json_t *events = json_object_get(flow, "events");

		fprintf(out, "%-16s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64,
			json_string_value(json_object_get(flow, "flow")), number(flow, "sent"), number(flow, "missed"),
			number(flow, "dropped_full"), number(flow, "lost"));
		print_us(flow, "p50_ns", out);
		print_us(flow, "p99_ns", out);
		print_us(flow, "max_ns", out);
		print_us(flow, "longest_ns", out);
		fprintf(out, "  %9" PRIu64 " %6" PRIu64 " %9" PRIu64 " %7" PRIu64 " %9" PRIu64 "\n",
			number(events, "shortened"), number(events, "raised"), number(events, "escalated"),
			number(events, "relaxed"), number(events, "recovered"));
	}
	fprintf(out, "cross traffic: %" PRIu64 " packets, %" PRIu64 " lost\n", number(result, "cross_sent"),
		number(result, "cross_lost"));
}
