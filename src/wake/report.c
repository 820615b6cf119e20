// Both forms show the same figures. Without the kernel's side its stages are null, and omitted in
// tables.
#include "report.h"

#include "rtvs/render.h"
#include "rtvs/units.h"

#include <inttypes.h>
#include <string.h>

#define BAR_WIDTH 50u

static bool
is_kernels(enum stage stage)
{
	return stage == STAGE_EMULATOR || stage == STAGE_WAKE || stage == STAGE_RUN;
}

static json_t *
figures_json(const struct tally_hist *h)
{
	const struct tally_figures f = tally_figures(h);

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)f.count, "min_ns",
		(json_int_t)f.min, "p50_ns", (json_int_t)f.p50, "p90_ns", (json_int_t)f.p90, "p99_ns",
		(json_int_t)f.p99, "max_ns", (json_int_t)f.max, "mean_ns", (json_int_t)f.mean);
}

static double
percent(uint64_t part, uint64_t whole)
{
	return whole ? (double)part * 100 / (double)whole : 0;
}

// Where the kernel's side is missing, consume is more than what the guest does.
static const char *
advice_of(enum stage stage, bool has_sched)
{
	if (stage == STAGE_CONSUME && !has_sched)
		return "The guest wakes late or takes packets late; which of both, the missing tracepoints would tell.";
	return tally_advice(stage);
}

static json_t *
worst_json(const struct tally_set *set, bool has_sched)
{
	struct tally_worst worst;

	if (!tally_worst(set, &worst))
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:f, s:s}", "stage", stages_names[worst.stage], "spread_ns",
		(json_int_t)worst.spread_ns, "total_spread_ns", (json_int_t)worst.total_spread_ns, "share_percent",
		percent(worst.spread_ns, worst.total_spread_ns), "advice", advice_of(worst.stage, has_sched));
}

static json_t *
set_json(const struct tally_set *set, bool has_sched)
{
	json_t *stages = json_object();

	for (unsigned i = 0; i < STAGE_COUNT; i++)
		(void)json_object_set_new(stages, stages_names[i],
			has_sched || !is_kernels((enum stage)i) ? figures_json(&set->stages[i]) : json_null());
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "end_to_end", figures_json(&set->total), "stages",
		stages, "sum_of_means_ns", (json_int_t)tally_sum_of_means(set), "kicked", (json_int_t)set->kicked,
		"prewoken", (json_int_t)set->prewoken, "running_already", (json_int_t)set->running, "through_emulator",
		(json_int_t)set->emulated, "fluctuates_most", worst_json(set, has_sched));
}

static json_t *
depth_json(const struct tally *t)
{
	const struct tally_figures f = tally_figures(&t->depth);
	json_t *points = json_array();

	for (unsigned i = 0; i < t->depths.n; i++)
		(void)json_array_append_new(points,
			json_pack("[f, i]", (double)(t->depths.points[i].at_ns / 1000) / 1000,
				(int)t->depths.points[i].value));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "p50", (json_int_t)f.p50, "p90", (json_int_t)f.p90, "p99",
		(json_int_t)f.p99, "max", (json_int_t)f.max, "mean", (json_int_t)f.mean, "series_ms", points);
}

static json_t *
halts_json(const struct watch_port *port)
{
	const struct event_counts c = watch_halts(port);

	return json_pack("{s:I, s:I, s:I, s:I}", "hlt_exits", (json_int_t)c.hlt_exits, "halts", (json_int_t)c.halts,
		"waited", (json_int_t)c.waited, "halted_ns", (json_int_t)c.halted_ns);
}

static json_t *
port_json(const struct watch *w, const struct watch_port *port)
{
	const struct tally *t = &port->tally;
	json_t *object = json_pack("{s:s, s:I, s:I, s:I}", "port", port->name, "pid", (json_int_t)port->pid, "guests",
		(json_int_t)port->n_guests, "lost", (json_int_t)port->lost);
	static const char *const results[STAGES_RESULTS] = {
		"answered", "unanswered", "unconsumed", "not_put", "blind", "wrong"};
	json_t *chains = json_object();

	for (unsigned i = 0; i < STAGES_RESULTS; i++)
		(void)json_object_set_new(chains, results[i], json_integer((json_int_t)t->results[i]));
	(void)json_object_set_new(object, "chains", chains);
	(void)json_object_set_new(object, "answered", set_json(&t->answered, w->has_sched));
	(void)json_object_set_new(object, "unanswered", set_json(&t->unanswered, w->has_sched));
	(void)json_object_set_new(object, "depth", depth_json(t));
	(void)json_object_set_new(object, "halts", halts_json(port));
	return object;
}

json_t *
report_json(const struct watch *w, uint64_t end_ns)
{
	json_t *ports = json_array(), *missing = json_array();

	for (unsigned i = 0; i < w->n_missing; i++)
		(void)json_array_append_new(missing,
			json_pack("{s:s, s:s, s:s}", "tracepoint", w->missing[i].name, "why", w->missing[i].why,
				"hides", w->missing[i].hides));
	for (unsigned i = 0; i < w->n_ports; i++)
		(void)json_array_append_new(ports, port_json(w, w->ports[i]));
	return json_pack("{s:I, s:I, s:I, s:b, s:o, s:o}", "duration_ns", (json_int_t)(end_ns - w->begin_ns), "events",
		(json_int_t)w->events, "events_lost", (json_int_t)w->events_lost, "has_sched", w->has_sched, "missing",
		missing, "ports", ports);
}

// Three digits are what people read; the exact figures are for programs.
static uint64_t
rounded(uint64_t ns)
{
	uint64_t unit = 1;

	while (ns / unit >= 1000)
		unit *= 10;
	return ns > UINT64_MAX - unit ? ns : (ns + unit / 2) / unit * unit;
}

static void
add_row(json_t *rows, const char *name, const struct tally_hist *h, uint64_t total_sum)
{
	json_t *row = json_pack("{s:s}", "stage", name), *figures = figures_json(h), *value;
	const char *key;
	char share[16];

	(void)json_object_del(figures, "count");
	json_object_foreach (figures, key, value)
		(void)json_object_set_new(
			row, key, json_integer((json_int_t)rounded((uint64_t)json_integer_value(value))));
	(void)snprintf(share, sizeof(share), "%.1f", percent(h->hist.sum, total_sum));
	(void)json_object_set_new(row, "% of time", json_string(share));
	(void)json_array_append_new(rows, row);
	json_decref(figures);
}

static void
print_set(const struct watch *w, const struct tally_set *set, FILE *out)
{
	uint64_t sum = set->total.hist.sum;
	json_t *rows = json_array();

	for (unsigned i = 0; i < STAGE_COUNT; i++)
		if (w->has_sched || !is_kernels((enum stage)i))
			add_row(rows, stages_names[i], &set->stages[i], sum);
	add_row(rows, "end to end", &set->total, sum);
	render(rows, out);
	json_decref(rows);
}

static void
print_worst(const struct tally_set *set, bool has_sched, FILE *out)
{
	char mean[UNITS_TEXT_SIZE], parts[UNITS_TEXT_SIZE], spread[UNITS_TEXT_SIZE], total[UNITS_TEXT_SIZE];
	struct tally_worst worst;

	fprintf(out, "mean end to end %s, sum of the stages' means %s\n",
		units_format_time(rounded(tally_figures(&set->total).mean), mean),
		units_format_time(rounded(tally_sum_of_means(set)), parts));
	if (!tally_worst(set, &worst))
		return;
	fprintf(out, "%s fluctuates most: p99 is %s above p50; end to end %s (%.0f %%)\n%s\n",
		stages_names[worst.stage], units_format_time(rounded(worst.spread_ns), spread),
		units_format_time(rounded(worst.total_spread_ns), total),
		percent(worst.spread_ns, worst.total_spread_ns), advice_of(worst.stage, has_sched));
}

// One line for each bucket from the first to the last that has a value; empty ones in between are
// omitted.
static void
print_hist(const char *name, const struct tally_hist *h, FILE *out)
{
	uint64_t most = 0;

	if (!h->hist.count || !h->hist.max)
		return;
	fprintf(out, "\n%s\n", name);
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		most = h->hist.bucket[i] > most ? h->hist.bucket[i] : most;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		char text[UNITS_TEXT_SIZE];
		int width = (int)(h->hist.bucket[i] * BAR_WIDTH / most);

		if (h->hist.bucket[i])
			fprintf(out, "%14s %8" PRIu64 " %.*s\n", units_format_time(rounded(hist_bucket_low(i)), text),
				h->hist.bucket[i], width, "##################################################");
	}
}

static void
print_chains(const struct watch_port *port, FILE *out)
{
	static const char *const what[STAGES_RESULTS] = {[STAGES_UNANSWERED] = "not answered",
		[STAGES_UNCONSUMED] = "not consumed",
		[STAGES_NOT_PUT] = "never put into the vring",
		[STAGES_BLIND] = "not explained (events lost, or the guest is gone)",
		[STAGES_WRONG] = "wrong"};
	const struct tally *t = &port->tally;
	const struct tally_figures depth = tally_figures(&t->depth);
	const struct event_counts halts = watch_halts(port);

	fprintf(out, "%s: ", port->name);
	if (port->pid)
		fprintf(out, "process %" PRIu32, port->pid);
	else
		fputs("no guest", out);
	fprintf(out, "; %" PRIu64 " packets answered", t->results[STAGES_ANSWERED]);
	for (unsigned i = 1; i < STAGES_RESULTS; i++)
		if (t->results[i])
			fprintf(out, ", %" PRIu64 " %s", t->results[i], what[i]);
	if (port->lost)
		fprintf(out, ", %" PRIu64 " lost by the daemon", port->lost);
	fprintf(out, "\npackets in the vring before: p50 %" PRIu64 ", p99 %" PRIu64 ", max %" PRIu64 "\n", depth.p50,
		depth.p99, depth.max);
	if (halts.halts || halts.hlt_exits)
		fprintf(out, "halts %" PRIu64 ", that gave the CPU away %" PRIu64 "; HLT executed %" PRIu64 "\n",
			halts.halts, halts.waited, halts.hlt_exits);
}

// Chains without an answer have stages of their own; they are shown where nothing is answered.
static void
print_port(const struct watch *w, const struct watch_port *port, bool has_hist, FILE *out)
{
	const struct tally *t = &port->tally;
	const struct tally_set *set = t->results[STAGES_ANSWERED] ? &t->answered : &t->unanswered;

	print_chains(port, out);
	if (!set->total.hist.count)
		return;
	fprintf(out, "guest kicked for %" PRIu64 " of %" PRIu64 ", woken ahead %" PRIu64, set->kicked,
		set->total.hist.count, set->prewoken);
	if (w->has_sched)
		fprintf(out, ", ran already %" PRIu64 ", through QEMU's main loop %" PRIu64, set->running,
			set->emulated);
	fputc('\n', out);
	print_set(w, set, out);
	print_worst(set, w->has_sched, out);
	for (unsigned i = 0; has_hist && i < STAGE_COUNT; i++)
		print_hist(stages_names[i], &set->stages[i], out);
	if (has_hist)
		print_hist("end to end", &set->total, out);
}

static void
print_missing(const struct watch *w, FILE *out)
{
	for (unsigned i = 0; i < w->n_missing; i++)
		fprintf(out, "%s: %s. Not shown: %s\n", w->missing[i].name, w->missing[i].why, w->missing[i].hides);
	if (!w->has_sched)
		fputs("The time until the guest runs is part of consume.\n", out);
}

void
report_print(const struct watch *w, uint64_t end_ns, bool has_hist, FILE *out)
{
	print_missing(w, out);
	if (w->events_lost)
		fprintf(out, "%" PRIu64 " events were lost\n", w->events_lost);
	for (unsigned i = 0; i < w->n_ports; i++) {
		if (i || w->n_missing)
			fputc('\n', out);
		print_port(w, w->ports[i], has_hist, out);
	}
	if (!w->n_ports)
		fprintf(out, "%.1f s, no guest\n", (double)(end_ns - w->begin_ns) / 1e9);
}
