// The page of the metrics: families declared once in tables, each printed for every object that has it.
// Format: OpenMetrics 1.0 text. Names and reasons need no escapes: rpc.h's RPC_NAME admits none of the characters.
#include "ctl.h"
#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	COUNTER,
	GAUGE
};

struct family {
	const char *name, *unit, *help; // unit: "" or what the name ends with
	enum kind kind;
	uint64_t (*value)(const void *object); // in ns where the unit is seconds
};

struct port_view {
	const struct model_port *port;
	struct dp_port_state state;
	struct dp_port_stats stats;
};

static void
head(FILE *f, const char *name, const char *type, const char *unit, const char *help)
{
	(void)fprintf(f, "# TYPE rtvs_%s %s\n", name, type);
	if (unit[0])
		(void)fprintf(f, "# UNIT rtvs_%s %s\n", name, unit);
	(void)fprintf(f, "# HELP rtvs_%s %s\n", name, help);
}

static void
family_head(FILE *f, const struct family *family)
{
	head(f, family->name, family->kind == COUNTER ? "counter" : "gauge", family->unit, family->help);
}

// labels: "" or in braces.
static void
sample(FILE *f, const struct family *family, const char *labels, const void *object)
{
	uint64_t value = family->value(object);

	(void)fprintf(f, "rtvs_%s%s%s ", family->name, family->kind == COUNTER ? "_total" : "", labels);
	if (strcmp(family->unit, "seconds") == 0)
		(void)fprintf(f, "%" PRIu64 ".%09" PRIu64 "\n", value / 1000000000, value % 1000000000);
	else
		(void)fprintf(f, "%" PRIu64 "\n", value);
}

#define FIELD(fn, type, expression)            \
	static uint64_t fn(const void *object) \
	{                                      \
		const type *o = object;        \
		return (uint64_t)(expression); \
	}
FIELD(port_rx_pkts, struct port_view, o->stats.rx_pkts)
FIELD(port_rx_bytes, struct port_view, o->stats.rx_bytes)
FIELD(port_tx_pkts, struct port_view, o->stats.tx_pkts)
FIELD(port_tx_bytes, struct port_view, o->stats.tx_bytes)
FIELD(port_replicated, struct port_view, o->stats.replicated)
FIELD(port_guest_errors, struct port_view, o->stats.guest_errors)
FIELD(port_blocked, struct port_view, o->stats.blocked_ns)
FIELD(port_connects, struct port_view, o->state.n_connects)
FIELD(port_disconnects, struct port_view, o->state.n_disconnects)
FIELD(port_recovered, struct port_view, o->state.n_rings_recovered)
FIELD(port_queued, struct port_view, o->stats.queued > 0 ? o->stats.queued : 0)
FIELD(port_link, struct port_view, o->state.is_link_up)
FIELD(port_connected, struct port_view, o->state.is_connected)

static const struct family port_families[] = {
	{"port_rx_packets", "packets", "Packets taken from the port.", COUNTER, port_rx_pkts},
	{"port_rx_bytes", "bytes", "Bytes taken from the port.", COUNTER, port_rx_bytes},
	{"port_tx_packets", "packets", "Packets given to the port.", COUNTER, port_tx_pkts},
	{"port_tx_bytes", "bytes", "Bytes given to the port.", COUNTER, port_tx_bytes},
	{"port_replicated_packets", "packets", "Further copies made of packets taken from the port.", COUNTER,
		port_replicated},
	{"port_guest_errors", "", "What the guest or its front-end did against the rules.", COUNTER, port_guest_errors},
	{"port_blocked_seconds", "seconds",
		"Time when the port's rings were left alone because its queue at an egress port was full.", COUNTER,
		port_blocked},
	{"port_connects", "", "Front-ends that connected.", COUNTER, port_connects},
	{"port_disconnects", "", "Front-ends that left.", COUNTER, port_disconnects},
	{"port_rings_recovered", "", "Rings whose position was found again after a crash.", COUNTER, port_recovered},
	{"port_queued_packets", "packets", "Packets on their way to the port.", GAUGE, port_queued},
	{"port_link_up", "", "1: a guest's driver, or a cable, is there.", GAUGE, port_link},
	{"port_connected", "", "1: a front-end holds the socket.", GAUGE, port_connected},
};

FIELD(worker_turns, struct dp_worker_stats, o->turns)
FIELD(worker_turns_with_work, struct dp_worker_stats, o->turns_with_work)
FIELD(worker_sleeps, struct dp_worker_stats, o->sleeps)
FIELD(worker_pkts, struct dp_worker_stats, o->pkts)
FIELD(worker_cycles_busy, struct dp_worker_stats, o->cycles_busy)
FIELD(worker_cycles, struct dp_worker_stats, o->cycles_total)
FIELD(worker_events_lost, struct dp_worker_stats, o->events_lost)

static const struct family worker_families[] = {
	{"worker_turns", "", "Turns of the worker's loop.", COUNTER, worker_turns},
	{"worker_turns_with_work", "", "Turns that found packets.", COUNTER, worker_turns_with_work},
	{"worker_sleeps", "", "Times the worker slept.", COUNTER, worker_sleeps},
	{"worker_packets", "packets", "Packets the worker received.", COUNTER, worker_pkts},
	{"worker_busy_cycles", "cycles", "TSC cycles of turns with work.", COUNTER, worker_cycles_busy},
	{"worker_cycles", "cycles", "TSC cycles in all.", COUNTER, worker_cycles},
	{"worker_lost_events", "", "Events for which there was no room.", COUNTER, worker_events_lost},
};

FIELD(dp_memory, struct dp_system_info, o->memory_bytes)
FIELD(dp_memory_free, struct dp_system_info, o->memory_free_bytes)
FIELD(dp_buffers, struct dp_system_info, o->n_mbufs)
FIELD(dp_buffers_free, struct dp_system_info, o->n_mbufs_free)
FIELD(dp_log_errors, struct dp_system_info, o->log_errors)
FIELD(dp_bus_errors, struct dp_system_info, o->bus_errors)

static const struct family system_families[] = {
	{"memory_bytes", "bytes", "Packet memory.", GAUGE, dp_memory},
	{"memory_free_bytes", "bytes", "Packet memory that is free.", GAUGE, dp_memory_free},
	{"buffers", "", "Packet buffers.", GAUGE, dp_buffers},
	{"buffers_free", "", "Packet buffers that are free.", GAUGE, dp_buffers_free},
	{"dpdk_log_errors", "", "Lines that DPDK logged at level error or worse.", COUNTER, dp_log_errors},
	{"bus_errors", "", "Guest memory that was taken away while in use.", COUNTER, dp_bus_errors},
};

FIELD(server_accepted, struct server_stats, o->n_accepted)
FIELD(server_refused, struct server_stats, o->n_refused)
FIELD(server_slow, struct server_stats, o->n_slow)
FIELD(server_too_long, struct server_stats, o->n_too_long)

static const struct family server_families[] = {
	{"clients_accepted", "", "Control connections.", COUNTER, server_accepted},
	{"clients_refused", "", "Control connections above the limit.", COUNTER, server_refused},
	{"clients_slow", "", "Clients disconnected because they did not read.", COUNTER, server_slow},
	{"clients_too_long", "", "Clients disconnected for too long a request.", COUNTER, server_too_long},
};
#define N(table) (sizeof(table) / sizeof((table)[0]))

static void
print_one(FILE *f, const struct family *families, unsigned n, const void *object)
{
	for (unsigned i = 0; i < n; i++) {
		family_head(f, &families[i]);
		sample(f, &families[i], "", object);
	}
}

static void
port_labels(char *buf, size_t size, const struct port_view *view, const char *end)
{
	(void)snprintf(buf, size, "{port=\"%s\",bridge=\"%s\"%s", view->port->cfg.name, view->port->cfg.bridge, end);
}

static void
print_ports(FILE *f, const struct port_view *views, unsigned n)
{
	char labels[128];

	for (unsigned i = 0; i < N(port_families); i++) {
		family_head(f, &port_families[i]);
		for (unsigned k = 0; k < n; k++) {
			port_labels(labels, sizeof(labels), &views[k], "}");
			sample(f, &port_families[i], labels, &views[k]);
		}
	}
	head(f, "port_dropped_packets", "counter", "packets", "Packets that were not delivered, by reason.");
	for (unsigned k = 0; k < n; k++) {
		port_labels(labels, sizeof(labels), &views[k], "");
		for (unsigned d = 0; d < DROP_COUNT; d++)
			(void)fprintf(f, "rtvs_port_dropped_packets_total%s,reason=\"%s\"} %" PRIu64 "\n", labels,
				drop_names[d], views[k].stats.drops[d]);
	}
}

// Bounds are powers of two ns, where the histogram has exact ones: from 16 us to 17 s. labels: without the closing brace.
static void
print_hist(FILE *f, const char *name, const char *labels, const struct hist *h)
{
	uint64_t count = 0;
	unsigned power = 14;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t bound = (UINT64_C(1) << power) - 1;
		count += h->bucket[i];
		if (power > 34 || hist_bucket_high(i) != bound)
			continue;
		(void)fprintf(
			f, "rtvs_%s_bucket%s,le=\"%.12g\"} %" PRIu64 "\n", name, labels, (double)bound / 1e9, count);
		power++;
	}
	(void)fprintf(f, "rtvs_%s_bucket%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, count);
	(void)fprintf(f, "rtvs_%s_count%s} %" PRIu64 "\n", name, labels, count);
	(void)fprintf(f, "rtvs_%s_sum%s} %.9f\n", name, labels, (double)h->sum / 1e9);
}

static void
print_workers(FILE *f, const struct dp_worker_stats *stats, unsigned n)
{
	char labels[48];

	for (unsigned i = 0; i < N(worker_families); i++) {
		family_head(f, &worker_families[i]);
		for (unsigned k = 0; k < n; k++) {
			(void)snprintf(labels, sizeof(labels), "{worker=\"%u\",cpu=\"%u\"}", k, stats[k].cpu);
			sample(f, &worker_families[i], labels, &stats[k]);
		}
	}
	head(f, "worker_stall_seconds", "histogram", "seconds", "Times when a worker did not have its core.");
	for (unsigned k = 0; k < n; k++) {
		(void)snprintf(labels, sizeof(labels), "{worker=\"%u\"", k);
		print_hist(f, "worker_stall_seconds", labels, &stats[k].stalls);
	}
}

struct flow_view {
	const struct model_port *port, *from;
	struct dp_flow flow;
};

FIELD(flow_queued, struct flow_view, o->flow.n_queued)
FIELD(flow_guaranteed, struct flow_view, o->flow.guaranteed_pkts)
FIELD(flow_guaranteed_bytes, struct flow_view, o->flow.guaranteed_bytes)
FIELD(flow_surplus, struct flow_view, o->flow.surplus_pkts)
FIELD(flow_surplus_bytes, struct flow_view, o->flow.surplus_bytes)
FIELD(flow_missed, struct flow_view, o->flow.missed_pkts)
FIELD(flow_broken, struct flow_view, o->flow.broken_pkts)
FIELD(flow_late, struct flow_view, o->flow.late_pkts)

static const struct family flow_families[] = {
	{"flow_queued_packets", "packets", "Packets that wait at the egress port.", GAUGE, flow_queued},
	{"flow_guaranteed_packets", "packets", "Packets that left within the guarantee.", COUNTER, flow_guaranteed},
	{"flow_guaranteed_bytes", "bytes", "Bytes that left within the guarantee.", COUNTER, flow_guaranteed_bytes},
	{"flow_surplus_packets", "packets", "Packets that left beyond the guarantee.", COUNTER, flow_surplus},
	{"flow_surplus_bytes", "bytes", "Bytes that left beyond the guarantee.", COUNTER, flow_surplus_bytes},
	{"flow_missed_packets", "packets", "Packets that left, or were dropped, after their deadline.", COUNTER,
		flow_missed},
	{"flow_broken_packets", "packets", "Guaranteed packets that left after their deadline.", COUNTER, flow_broken},
	{"flow_late_packets", "packets", "Packets dropped because their deadline had passed.", COUNTER, flow_late},
};

// Flows of all egress ports, FLOWS_MAX at most: more would make a page that nobody scrapes.
#define FLOWS_MAX 1024
static unsigned
collect_flows(const struct ctl *ctl, struct flow_view *views)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ctl->live->n_ports; i++) {
		const struct model_port *port = ctl->live->ports[i];
		uint32_t pos = 0;

		while (n < FLOWS_MAX && dp_flow_list(ctl->dp, port->id, &pos, &views[n].flow, 1)) {
			views[n].port = port;
			views[n].from = ctl->live->port_by_id[views[n].flow.port];
			n += views[n].from != NULL;
		}
	}
	return n;
}

static void
print_flows(FILE *f, const struct ctl *ctl)
{
	struct flow_view *views = calloc(FLOWS_MAX, sizeof(*views)); // pages are touched as far as there are flows
	unsigned n = views ? collect_flows(ctl, views) : 0;
	char labels[160];

	for (unsigned i = 0; n && i < N(flow_families); i++) {
		family_head(f, &flow_families[i]);
		for (unsigned k = 0; k < n; k++) {
			(void)snprintf(labels, sizeof(labels), "{port=\"%s\",from=\"%s\"}", views[k].port->cfg.name,
				views[k].from->cfg.name);
			sample(f, &flow_families[i], labels, &views[k]);
		}
	}
	if (n)
		head(f, "flow_delay_seconds", "histogram", "seconds",
			"From a packet's arrival in the host to its departure.");
	for (unsigned k = 0; k < n; k++) {
		(void)snprintf(labels, sizeof(labels), "{port=\"%s\",from=\"%s\"", views[k].port->cfg.name,
			views[k].from->cfg.name);
		if (views[k].flow.delay.count)
			print_hist(f, "flow_delay_seconds", labels, &views[k].flow.delay);
	}
	free(views);
}

static void
print_bridges(FILE *f, const struct ctl *ctl)
{
	head(f, "bridge_macs", "gauge", "", "Entries of the MAC table.");
	for (unsigned i = 0; i < ctl->live->n_bridges; i++)
		(void)fprintf(f, "rtvs_bridge_macs{bridge=\"%s\"} %" PRIu32 "\n", ctl->live->bridges[i]->cfg.name,
			dp_bridge_n_macs(ctl->dp, ctl->live->bridges[i]->id));
}

char *
metrics_text(const struct ctl *ctl, size_t *ret_len)
{
	static struct port_view views[DP_MAX_PORTS]; // 100 KiB; the control thread is the only caller
	static struct dp_worker_stats workers[DP_MAX_WORKERS];
	struct dp_system_info info = {0};
	unsigned n_workers = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return NULL;
	(void)dp_stats_refresh(ctl->dp);
	dp_system_info(ctl->dp, &info);
	for (unsigned i = 0; i < ctl->live->n_ports; i++) {
		views[i] = (struct port_view){.port = ctl->live->ports[i]};
		(void)dp_port_state(ctl->dp, views[i].port->id, &views[i].state);
		(void)dp_port_stats(ctl->dp, views[i].port->id, &views[i].stats);
	}
	while (n_workers < DP_MAX_WORKERS && dp_worker_stats(ctl->dp, n_workers, &workers[n_workers]) == 0)
		n_workers++;
	head(f, "build", "info", "", "Version of the daemon.");
	(void)fprintf(f, "rtvs_build_info{version=\"%s\"} 1\n", ctl->params.version);
	print_one(f, system_families, N(system_families), &info);
	print_one(f, server_families, N(server_families), &ctl->server.stats);
	print_bridges(f, ctl);
	print_ports(f, views, ctl->live->n_ports);
	print_workers(f, workers, n_workers);
	print_flows(f, ctl);
	(void)fputs("# EOF\n", f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
