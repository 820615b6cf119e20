// Reports of report.h. Tables are drawn from the JSON, so both always say the same.
#include "report.h"

#include "admit.h"
#include "rtvs/units.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

static json_int_t
link_rate_bps(uint64_t bytes, uint64_t time_ns)
{
	return (json_int_t)((unsigned __int128)bytes * 8 * NS_PER_S / time_ns);
}

static json_t *
admission_of(const struct scenario *sc, uint32_t host, const struct admission_result *r)
{
	static const char *const reasons[] = {"fits", "rate", "deadline", "burst"};
	json_t *object = json_pack("{s:s, s:s}", "host", sc->hosts[host].name, "admission", reasons[r->reason]);

	if (!object || r->reason == ADMISSION_FITS)
		return object;
	json_object_set_new(object, "flow", json_string(sc->flows[r->id].name));
	json_object_set_new(object, "at_ns", json_integer((json_int_t)r->t_ns));
	json_object_set_new(object, "demand_bytes", json_integer((json_int_t)r->demand_bytes));
	json_object_set_new(object, "supply_bytes", json_integer((json_int_t)r->supply_bytes));
	return object;
}

json_t *
report_admission(const struct scenario *sc, bool *ret_fits)
{
	json_t *list = json_array();

	*ret_fits = true;
	for (uint32_t i = 0; list && i < sc->n_hosts; i++) {
		struct admission_result r;

		if (admit_host(sc, i, &r) || json_array_append_new(list, admission_of(sc, i, &r))) {
			json_decref(list);
			return NULL;
		}
		*ret_fits &= r.reason == ADMISSION_FITS;
	}
	return list;
}

// Pairs of a bucket's upper bound and its count, for who draws the distribution.
static json_t *
buckets_of(const struct hist *h)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < HIST_BUCKETS; i++) {
		uint64_t high = hist_bucket_high(i) < h->max ? hist_bucket_high(i) : h->max;

		if (h->bucket[i])
			json_array_append_new(list, json_pack("[I, I]", (json_int_t)high, (json_int_t)h->bucket[i]));
	}
	return list;
}

static json_t *
flow_of(const struct scenario *sc, uint32_t id, const struct sim_flow *r)
{
	const struct scenario_flow *f = &sc->flows[id];
	json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "flow", f->name, "sent",
		(json_int_t)r->sent, "delivered", (json_int_t)r->delivered, "missed", (json_int_t)r->missed,
		"dropped_full", (json_int_t)r->full, "dropped_late", (json_int_t)r->late, "broken",
		(json_int_t)r->broken, "rate_bps", link_rate_bps(r->bytes, sc->time_ns));

	if (!object)
		return NULL;
	if (f->deadline_ns)
		json_object_set_new(object, "deadline_ns", json_integer((json_int_t)f->deadline_ns));
	if (f->min_rate_bps)
		json_object_set_new(object, "is_min_rate_kept", json_boolean(r->bytes >= r->promised_bytes));
	json_object_set_new(object, "p50_ns", json_integer((json_int_t)hist_percentile(&r->delay, 50000)));
	json_object_set_new(object, "p99_ns", json_integer((json_int_t)hist_percentile(&r->delay, 99000)));
	json_object_set_new(object, "p999_ns", json_integer((json_int_t)hist_percentile(&r->delay, 99900)));
	json_object_set_new(object, "max_ns", json_integer((json_int_t)r->delay.max));
	json_object_set_new(object, "delay_ns", buckets_of(&r->delay));
	return object;
}

static json_t *
host_of(const struct scenario *sc, uint32_t id, const struct sim_host *r)
{
	const struct scenario_host *h = &sc->hosts[id];
	json_int_t rate = link_rate_bps(r->bytes, sc->time_ns);

	return json_pack("{s:s, s:I, s:I}", "host", h->name, "rate_bps", rate, "used_permille",
		rate * 1000 / (json_int_t)h->link_rate_bps);
}

json_t *
report_result(const struct scenario *sc, enum policy_type policy, const struct sim_result *result)
{
	json_t *flows = json_array(), *hosts = json_array();
	int rc = 0;

	for (uint32_t i = 0; !rc && i < sc->n_flows; i++)
		rc = json_array_append_new(flows, flow_of(sc, i, &result->flows[i]));
	for (uint32_t i = 0; !rc && i < sc->n_hosts; i++)
		rc = json_array_append_new(hosts, host_of(sc, i, &result->hosts[i]));
	if (!rc)
		return json_pack("{s:s, s:I, s:o, s:o}", "policy", policy_names[policy], "events",
			(json_int_t)result->n_events, "flows", flows, "hosts", hosts);
	json_decref(flows);
	json_decref(hosts);
	return NULL;
}

static uint64_t
number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *
text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

void
report_print_admission(const json_t *admission, FILE *out)
{
	char at[UNITS_TEXT_SIZE];
	json_t *host;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)admission, i, host) {
		const char *reason = text(host, "admission");

		fprintf(out, "admission at %s: ", text(host, "host"));
		if (!strcmp(reason, "fits"))
			fputs("fits\n", out);
		else if (!strcmp(reason, "deadline"))
			fprintf(out, "%s fails: by t=%s %" PRIu64 " bytes may be due, the link carries %" PRIu64 "\n",
				text(host, "flow"), units_format_time(number(host, "at_ns"), at),
				number(host, "demand_bytes"), number(host, "supply_bytes"));
		else if (!strcmp(reason, "rate"))
			fprintf(out, "%s fails: %" PRIu64 " bytes/s are reserved then, the link carries %" PRIu64 "\n",
				text(host, "flow"), number(host, "demand_bytes"), number(host, "supply_bytes"));
		else
			fprintf(out, "%s fails: a packet of %" PRIu64 " bytes is longer than the burst, %" PRIu64 "\n",
				text(host, "flow"), number(host, "demand_bytes"), number(host, "supply_bytes"));
	}
}

// Thousandths with one decimal: ns as us.
static void
print_us(const json_t *flow, const char *key, FILE *out)
{
	uint64_t ns = number(flow, key);

	fprintf(out, " %8" PRIu64 ".%" PRIu64, ns / 1000, ns % 1000 / 100);
}

void
report_print_result(const json_t *result, FILE *out)
{
	json_t *flow, *host;
	size_t i;

	fprintf(out, "\n%-16s %9s %9s %9s %9s %10s %10s %10s %10s %10s  %s\n", text(result, "policy"), "sent",
		"delivered", "missed", "dropped", "p50 us", "p99 us", "p99.9 us", "max us", "Mbit/s", "min_rate kept");
	json_array_foreach (json_object_get(result, "flows"), i, flow) {
		const json_t *kept = json_object_get(flow, "is_min_rate_kept");
		uint64_t kbps = number(flow, "rate_bps") / 1000;

		fprintf(out, "%-16s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64, text(flow, "flow"),
			number(flow, "sent"), number(flow, "delivered"), number(flow, "missed"),
			number(flow, "dropped_full") + number(flow, "dropped_late"));
		print_us(flow, "p50_ns", out);
		print_us(flow, "p99_ns", out);
		print_us(flow, "p999_ns", out);
		print_us(flow, "max_ns", out);
		fprintf(out, " %6" PRIu64 ".%03" PRIu64 "  %s\n", kbps / 1000, kbps % 1000,
			!kept			   ? "-" :
				json_is_true(kept) ? "yes" :
						     "no");
	}
	json_array_foreach (json_object_get(result, "hosts"), i, host)
		fprintf(out, "link of %s: %" PRIu64 ".%" PRIu64 " %% used\n", text(host, "host"),
			number(host, "used_permille") / 10, number(host, "used_permille") % 10);
}
