// Two readings of stats.get and worker.list and the difference between them, per second. On a
// terminal the screen is drawn again; elsewhere blocks follow each other. The clock is this
// process's: counters are read right after it.
#include "top.h"

#include "rtvs/render.h"
#include "rtvs/screen.h"
#include "rtvs/units.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic bool is_interrupted; // set by the signal handler

struct reading {
	json_t *stats, *workers, *drops, *peers;
	double at_s;
};

static void
on_signal(int sig)
{
	(void)sig;
	is_interrupted = true;
}

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
reading_free(struct reading *r)
{
	json_decref(r->stats);
	json_decref(r->workers);
	json_decref(r->drops);
	json_decref(r->peers);
	memset(r, 0, sizeof(*r));
}

static enum cli_exit
reading_take(struct client *c, struct reading *r)
{
	enum cli_exit rc = client_ask(c, "stats.get", NULL, &r->stats);

	r->at_s = now_s();
	if (!rc)
		rc = client_ask(c, "worker.list", NULL, &r->workers);
	if (!rc)
		rc = client_ask(c, "stats.drops", NULL, &r->drops);
	if (!rc)
		rc = client_ask(c, "peer.list", NULL, &r->peers);
	return rc;
}

static json_t *
find(const json_t *list, const char *key, const json_t *value)
{
	json_t *element;
	size_t i;

	json_array_foreach (list, i, element) {
		if (json_equal(json_object_get(element, key), value))
			return element;
	}
	return NULL;
}

static double
rate(const json_t *was, const json_t *is, const char *key, double seconds)
{
	return (double)(json_integer_value(json_object_get(is, key)) - json_integer_value(json_object_get(was, key))) /
		seconds;
}

// The reason that dropped most since the port was added.
static const char *
top_reason(const json_t *drops, const json_t *port)
{
	const char *found = "", *name;
	json_t *entry, *of_port = find(drops, "port", port);
	json_int_t most = 0;
	size_t i;

	json_array_foreach (json_object_get(of_port, "drops"), i, entry) {
		name = json_string_value(json_object_get(entry, "reason"));
		if (name && json_integer_value(json_object_get(entry, "count")) > most) {
			most = json_integer_value(json_object_get(entry, "count"));
			found = name;
		}
	}
	return found;
}

// The port that held this one back for longest since the last look.
static const char *
holder(const json_t *was, const json_t *is)
{
	const json_t *before = json_object_get(was, "held_back_by");
	const char *found = "";
	json_int_t longest = 0;
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(is, "held_back_by"), i, entry) {
		json_int_t ns = json_integer_value(json_object_get(entry, "held_ns")) -
			json_integer_value(
				json_object_get(find(before, "port", json_object_get(entry, "port")), "held_ns"));
		const char *name = json_string_value(json_object_get(entry, "port"));

		if (name && ns > longest) {
			longest = ns;
			found = name;
		}
	}
	return found;
}

static json_t *
port_rows(const struct reading *was, const struct reading *is)
{
	json_t *rows = json_array(), *port, *before = json_object_get(was->stats, "ports");
	double s = is->at_s - was->at_s;
	size_t i;

	json_array_foreach (json_object_get(is->stats, "ports"), i, port) {
		const json_t *old = find(before, "port", json_object_get(port, "port"));
		char rx[UNITS_TEXT_SIZE], tx[UNITS_TEXT_SIZE];

		if (!old)
			continue;
		(void)snprintf(rx, sizeof(rx), "%.3f", rate(old, port, "rx_bytes", s) * 8 / 1e6);
		(void)snprintf(tx, sizeof(tx), "%.3f", rate(old, port, "tx_bytes", s) * 8 / 1e6);
		(void)json_array_append_new(rows,
			json_pack("{s:O, s:I, s:s, s:I, s:s, s:f, s:s, s:I, s:s}", "port",
				json_object_get(port, "port"), "rx/s", (json_int_t)rate(old, port, "rx_pkts", s),
				"rx Mbit/s", rx, "tx/s", (json_int_t)rate(old, port, "tx_pkts", s), "tx Mbit/s", tx,
				"blocked %", rate(old, port, "blocked_ns", s) / 1e7, "blocked by", holder(old, port),
				"drops/s", (json_int_t)rate(old, port, "drops", s), "most for",
				top_reason(is->drops, json_object_get(port, "port"))));
	}
	return rows;
}

// A value of what there were some of, else nothing.
static json_t *
if_any(const json_t *count, json_t *value)
{
	return json_integer_value(count) ? value : json_null();
}

// A worker's figures for people: how busy since the last look, and how long another thread had its
// core.
static json_t *
worker_rows(const struct reading *was, const struct reading *is)
{
	json_t *rows = json_array(), *worker;
	double s = is->at_s - was->at_s;
	size_t i;

	json_array_foreach (is->workers, i, worker) {
		const json_t *old = find(was->workers, "worker", json_object_get(worker, "worker"));
		const json_t *stalls = json_object_get(worker, "stalls");
		double hz = (double)json_integer_value(json_object_get(worker, "tsc_hz"));

		(void)json_array_append_new(rows,
			json_pack("{s:O, s:O, s:f, s:I, s:I, s:O*, s:O*}", "worker", json_object_get(worker, "worker"),
				"cpu", json_object_get(worker, "cpu"), "busy %",
				rate(old, worker, "cycles_busy", s) / hz * 100, "pkts/s",
				(json_int_t)rate(old, worker, "pkts", s), "sleeps/s",
				(json_int_t)rate(old, worker, "sleeps", s), "stalls", json_object_get(stalls, "count"),
				"longest_ns",
				if_any(json_object_get(stalls, "count"), json_object_get(stalls, "max_ns"))));
	}
	return rows;
}

// Flows of one port with a deadline, or with packets since the last look. A flow that did not exist
// then has begun at zero.
static void
add_flow_rows(const json_t *was, const json_t *is, double s, json_t *rows)
{
	json_t *flow, *before = json_object_get(was, "flows");
	size_t i;

	json_array_foreach (json_object_get(is, "flows"), i, flow) {
		const json_t *old = find(before, "from", json_object_get(flow, "from"));
		const json_t *n = json_object_get(flow, "delay_count");
		const char *deadline = json_string_value(json_object_get(flow, "deadline"));

		if (!json_integer_value(n) && rate(old, flow, "surplus_pkts", s) <= 0)
			continue;
		(void)json_array_append_new(rows,
			json_pack("{s:O, s:O, s:O, s:I, s:I, s:O, s:O, s:O, s:O, s:O}", "port",
				json_object_get(flow, "port"), "from", json_object_get(flow, "from"), "deadline",
				deadline && !strcmp(deadline, "0ns") ? json_null() : json_object_get(flow, "deadline"),
				"guaranteed/s", (json_int_t)rate(old, flow, "guaranteed_pkts", s), "surplus/s",
				(json_int_t)rate(old, flow, "surplus_pkts", s), "queued",
				json_object_get(flow, "queued"), "missed", json_object_get(flow, "missed_pkts"),
				"p50_ns", if_any(n, json_object_get(flow, "p50_ns")), "p99_9_ns",
				if_any(n, json_object_get(flow, "p99_9_ns")), "max_ns",
				if_any(n, json_object_get(flow, "max_ns"))));
	}
}

// Flows of one tunnel that came from the other host.
static void
add_remote_rows(const json_t *was, const json_t *is, double s, json_t *rows)
{
	json_t *flow, *before = json_object_get(was, "remote_flows");
	size_t i;

	json_array_foreach (json_object_get(is, "remote_flows"), i, flow) {
		const json_t *old = find(before, "flow", json_object_get(flow, "flow"));

		(void)json_array_append_new(rows,
			json_pack("{s:O, s:O, s:O, s:I, s:I, s:I, s:O, s:O, s:O}", "tunnel",
				json_object_get(flow, "tunnel"), "flow", json_object_get(flow, "flow"), "deadline",
				json_object_get(flow, "deadline"), "pkts/s", (json_int_t)rate(old, flow, "received", s),
				"missed/s", (json_int_t)rate(old, flow, "missed", s), "lost/s",
				(json_int_t)rate(old, flow, "lost", s), "p99_ns", json_object_get(flow, "p99_ns"),
				"network_p99_ns", json_object_get(flow, "network_p99_ns"), "uncertainty_ns",
				json_object_get(flow, "uncertainty_ns")));
	}
}

// The result of add for each port that existed at the last look.
static json_t *
rows_of_ports(const struct reading *was, const struct reading *is,
	void (*add)(const json_t *was, const json_t *is, double s, json_t *rows))
{
	json_t *rows = json_array(), *port, *before = json_object_get(was->stats, "ports");
	size_t i;

	json_array_foreach (json_object_get(is->stats, "ports"), i, port) {
		const json_t *old = find(before, "port", json_object_get(port, "port"));

		if (old)
			add(old, port, is->at_s - was->at_s, rows);
	}
	return rows;
}

// Other hosts' daemons, each with what was done about what it reported of our ports.
static json_t *
peer_rows(const struct reading *is)
{
	json_t *rows = json_array(), *peer;
	size_t i;

	json_array_foreach (is->peers, i, peer) {
		bool is_clock_known = json_is_true(json_object_get(peer, "clock_known"));
		json_t *unknown = json_null();

		(void)json_array_append_new(rows,
			json_pack("{s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:O}", "peer", json_object_get(peer, "address"),
				"uplink", json_object_get(peer, "uplink"), "known", json_object_get(peer, "known"),
				"clock known", json_object_get(peer, "clock_known"), "offset_ns",
				is_clock_known ? json_object_get(peer, "offset_ns") : unknown, "uncertainty_ns",
				is_clock_known ? json_object_get(peer, "uncertainty_ns") : unknown, "rtt_ns",
				json_object_get(peer, "rtt_ns"), "flows", json_object_get(peer, "flows")));
	}
	return rows;
}

#define MAX_SECTIONS 5
static const char *const sections[MAX_SECTIONS] = {"ports", "flows", "remote", "peers", "workers"};
static const char *const headings[MAX_SECTIONS] = {"PORTS", "FLOWS", "REMOTE FLOWS", "PEERS", "WORKERS"};

// Ports and workers in any case, the others where there are any.
static void
print_sections(const json_t *all, FILE *out)
{
	for (unsigned i = 0; i < MAX_SECTIONS; i++) {
		const json_t *rows = json_object_get(all, sections[i]);

		if (i && i + 1 < MAX_SECTIONS && !json_array_size(rows))
			continue;
		fprintf(out, "%s%s\n", i ? "\n" : "", headings[i]);
		render(rows, out);
	}
}

static void
show(const struct reading *was, const struct reading *is, bool is_json, bool is_tty)
{
	json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:o}", sections[0], port_rows(was, is), sections[1],
		rows_of_ports(was, is, add_flow_rows), sections[2], rows_of_ports(was, is, add_remote_rows),
		sections[3], peer_rows(is), sections[4], worker_rows(was, is));
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (is_json)
		json_dumpf(all, stdout, JSON_COMPACT);
	else if (out)
		print_sections(all, out);
	if (out)
		(void)fclose(out);
	if (text && is_tty && !is_json)
		screen_draw(text);
	else
		printf("%s\n", text ? text : "");
	fflush(stdout);
	free(text);
	json_decref(all);
}

enum cli_exit
top_run(struct client *c, uint64_t interval_ns, uint64_t count, bool is_json)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct reading was = {0}, is = {0};
	enum cli_exit rc = reading_take(c, &was);

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	screen_keys_begin();
	for (uint64_t n = 0; !rc && !is_interrupted && !ferror(stdout) && (!count || n < count); n++) {
		if (screen_waits_for('q', interval_ns) || is_interrupted)
			break;
		rc = reading_take(c, &is);
		if (!rc)
			show(&was, &is, is_json, isatty(STDOUT_FILENO));
		reading_free(&was);
		was = is;
		memset(&is, 0, sizeof(is));
	}
	screen_keys_end();
	reading_free(&was);
	reading_free(&is);
	return rc;
}
