// Histograms for a terminal. Each power of two that has packets gets a line, with a bar as long as
// its share; the deadline is marked.
#include "latency.h"

#include "rtvs/port_traits.h"
#include "rtvs/units.h"

#include <stdio.h>
#include <string.h>

#define POWERS 64
#define BAR_COLUMNS 40

static uint64_t
number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

// Buckets [low, high, count] summed up by powers of two of their upper bound.
static void
sum_up(const json_t *buckets, uint64_t counts[POWERS])
{
	const json_t *bucket;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)buckets, i, bucket) {
		uint64_t high = (uint64_t)json_integer_value(json_array_get(bucket, 1));

		counts[high ? 63 - __builtin_clzll(high) : 0] +=
			(uint64_t)json_integer_value(json_array_get(bucket, 2));
	}
}

static void
print_bars(const uint64_t counts[POWERS], uint64_t total, uint64_t deadline_ns)
{
	unsigned first = 0, last = POWERS - 1;
	char text[UNITS_TEXT_SIZE];

	while (first < last && !counts[first])
		first++;
	while (last > first && !counts[last])
		last--;
	for (unsigned p = first; p <= last; p++) {
		uint64_t high = p < 63 ? UINT64_C(2) << p : UINT64_MAX;
		unsigned columns = (unsigned)(counts[p] * BAR_COLUMNS / total);

		printf("  < %9s %12llu %6.2f%% ", units_format_time(high > 10000 ? high / 1000 * 1000 : high, text),
			(unsigned long long)counts[p], 100.0 * (double)counts[p] / (double)total);
		for (unsigned i = 0; i < columns + (counts[p] && !columns); i++)
			putchar(columns ? '#' : '.');
		puts(deadline_ns && deadline_ns <= high && deadline_ns > high / 2 ? "  <- deadline" : "");
	}
}

// Percentiles, and the bars of a histogram that is not empty.
static void
print_delay(const json_t *delay, uint64_t deadline_ns)
{
	static const struct {
		const char *key, *name;
	} quantiles[] = {{"p50_ns", "p50"}, {"p90_ns", "p90"}, {"p99_ns", "p99"}, {"p99_9_ns", "p99.9"},
		{"p99_99_ns", "p99.99"}, {"max_ns", "max"}};
	uint64_t counts[POWERS] = {0}, total = number(delay, "count");
	char text[UNITS_TEXT_SIZE];

	if (!total)
		return;
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		printf("  %s %s", quantiles[i].name, units_format_time(number(delay, quantiles[i].key), text));
	putchar('\n');
	sum_up(json_object_get(delay, "buckets"), counts);
	print_bars(counts, total, deadline_ns);
}

// In ns; 0: none.
static uint64_t
deadline_of(const json_t *flow)
{
	const char *deadline = json_string_value(json_object_get(flow, "deadline"));
	uint64_t deadline_ns = 0;

	(void)units_parse_time(deadline ? deadline : "0", &deadline_ns);
	return deadline_ns;
}

static void
print_flow(const json_t *flow)
{
	const json_t *delay = json_object_get(flow, "delay");
	uint64_t deadline_ns = deadline_of(flow);
	char text[UNITS_TEXT_SIZE];

	printf("%s to %s, deadline %s: %llu packets, %llu missed\n", json_string_value(json_object_get(flow, "from")),
		json_string_value(json_object_get(flow, "port")),
		deadline_ns ? units_format_time(deadline_ns, text) : "none", (unsigned long long)number(delay, "count"),
		(unsigned long long)number(flow, "missed_pkts"));
	print_delay(delay, deadline_ns);
}

static void
print_remote_flow(const json_t *flow)
{
	const json_t *uncertainty = json_object_get(flow, "uncertainty_ns");
	uint64_t deadline_ns = deadline_of(flow);
	char text[UNITS_TEXT_SIZE];

	printf("flow %llu through %s, deadline %s: %llu packets, %llu missed, %llu lost, %llu unjudged\n",
		(unsigned long long)number(flow, "flow"), json_string_value(json_object_get(flow, "tunnel")),
		deadline_ns ? units_format_time(deadline_ns, text) : "none",
		(unsigned long long)number(flow, "received"), (unsigned long long)number(flow, "missed"),
		(unsigned long long)number(flow, "lost"), (unsigned long long)number(flow, "unjudged"));
	if (json_is_integer(uncertainty))
		printf("end to end, to within %s:\n", units_format_time(number(flow, "uncertainty_ns"), text));
	else
		puts("end to end, as if both clocks were one: how far they are apart is not known");
	print_delay(json_object_get(flow, "delay"), deadline_ns);
	printf("on the network, %s less on average:\n", units_format_time(number(flow, "mean_residence_ns"), text));
	print_delay(json_object_get(flow, "network"), 0);
}

// Whether the port leads to another host; *ret_rc says when it is not known.
static bool
is_tunnel(struct client *c, const char *port, enum cli_exit *ret_rc)
{
	json_t *shown = NULL;
	bool is;

	*ret_rc = client_ask(c, "port.show", json_pack("{s:s}", "name", port), &shown);
	is = port_traits_of_name(json_string_value(json_object_get(shown, "type"))) & PORT_IS_TUNNEL;
	json_decref(shown);
	return is;
}

enum cli_exit
latency_run(struct client *c, const char *from, const char *port, const char *flow, bool is_json)
{
	enum cli_exit rc = CLI_OK;
	bool is_remote = flow || (!port && is_tunnel(c, from, &rc));
	json_t *params, *flows = NULL, *element;
	size_t i;

	if (rc)
		return rc;
	params = json_pack(
		"{s:s, s:s*}", is_remote ? "port" : "from", from, is_remote ? "flow" : "port", is_remote ? flow : port);
	rc = client_ask(c, is_remote ? "flow.remote" : "flow.show", params, &flows);
	if (!rc && is_json) {
		json_dumpf(flows, stdout, JSON_INDENT(1));
		putchar('\n');
	} else if (!rc) {
		if (!json_array_size(flows))
			printf(is_remote ? "nothing with times has come through %s\n" :
					   "no port with a schedule has seen packets of %s\n",
				from);
		json_array_foreach (flows, i, element)
			(is_remote ? print_remote_flow : print_flow)(element);
	}
	json_decref(flows);
	return rc;
}
