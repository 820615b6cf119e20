// The page of the metrics: families declared once in tables, each printed for every object that has
// it. Names and reasons need no escapes: rpc.h's RPC_NAME admits none of the characters; libvirt's
// names do.
#include "ctl.h"
#include "family.h"
#include "metrics.h"
#include "metrics_remote.h"
#include "port_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N(table) (sizeof(table) / sizeof((table)[0]))

struct port_view {
	const struct model_port *port;
	struct dp_port_state state;
	struct dp_port_stats stats;
};

FAMILY_VALUE(port_rx_pkts, struct port_view, o->stats.rx_pkts)
FAMILY_VALUE(port_rx_bytes, struct port_view, o->stats.rx_bytes)
FAMILY_VALUE(port_tx_pkts, struct port_view, o->stats.tx_pkts)
FAMILY_VALUE(port_tx_bytes, struct port_view, o->stats.tx_bytes)
FAMILY_VALUE(port_replicated, struct port_view, o->stats.replicated)
FAMILY_VALUE(port_to_daemon, struct port_view, o->stats.to_daemon)
FAMILY_VALUE(port_guest_errors, struct port_view, o->stats.guest_errors)
FAMILY_VALUE(port_blocked, struct port_view, o->stats.blocked_ns)
FAMILY_VALUE(port_connects, struct port_view, o->state.n_connects)
FAMILY_VALUE(port_disconnects, struct port_view, o->state.n_disconnects)
FAMILY_VALUE(port_recovered, struct port_view, o->state.n_rings_recovered)
FAMILY_VALUE(port_queued, struct port_view, o->stats.queued > 0 ? o->stats.queued : 0)
FAMILY_VALUE(port_link, struct port_view, o->state.is_link_up)
FAMILY_VALUE(port_connected, struct port_view, o->state.is_connected)

static const struct family port_families[] = {
	{"port_rx_packets", "packets", "Packets taken from the port.", COUNTER, port_rx_pkts},
	{"port_rx_bytes", "bytes", "Bytes taken from the port.", COUNTER, port_rx_bytes},
	{"port_tx_packets", "packets", "Packets given to the port.", COUNTER, port_tx_pkts},
	{"port_tx_bytes", "bytes", "Bytes given to the port.", COUNTER, port_tx_bytes},
	{"port_replicated_packets", "packets", "Further copies made of packets taken from the port.", COUNTER,
		port_replicated},
	{"port_to_daemon_packets", "packets", "Packets of the port that were for the daemon itself.", COUNTER,
		port_to_daemon},
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

// A port that is a node of a segment.
struct segment_view {
	const struct port_view *port;
};

FAMILY_VALUE(segment_nodes, struct segment_view, o->port->state.segment.n_nodes)
FAMILY_VALUE(segment_slots, struct segment_view, o->port->state.segment.n_slots)
FAMILY_VALUE(segment_free, struct segment_view, o->port->state.segment.n_slots_free)
FAMILY_VALUE(segment_held, struct segment_view, o->port->state.segment.n_slots_held)
FAMILY_VALUE(segment_inbox, struct segment_view, o->port->state.segment.inbox_depth)
FAMILY_VALUE(segment_inbox_size, struct segment_view, o->port->state.segment.inbox_size)

static const struct family segment_families[] = {
	{"segment_nodes", "", "Nodes of the segment that live, the switch among them.", GAUGE, segment_nodes},
	{"segment_slots", "", "Buffers in the segment's pool.", GAUGE, segment_slots},
	{"segment_slots_free", "", "Buffers of the pool that are free.", GAUGE, segment_free},
	{"segment_slots_held", "", "Buffers that the switch has, those of frames that wait for others among them.",
		GAUGE, segment_held},
	{"segment_inbox_packets", "packets", "Frames in the segment that wait for the switch.", GAUGE, segment_inbox},
	{"segment_inbox_size", "", "Frames that may wait for the switch.", GAUGE, segment_inbox_size},
};

FAMILY_VALUE(worker_turns, struct dp_worker_stats, o->turns)
FAMILY_VALUE(worker_turns_with_work, struct dp_worker_stats, o->turns_with_work)
FAMILY_VALUE(worker_sleeps, struct dp_worker_stats, o->sleeps)
FAMILY_VALUE(worker_pkts, struct dp_worker_stats, o->pkts)
FAMILY_VALUE(worker_cycles_busy, struct dp_worker_stats, o->cycles_busy)
FAMILY_VALUE(worker_cycles, struct dp_worker_stats, o->cycles_total)
FAMILY_VALUE(worker_events_lost, struct dp_worker_stats, o->events_lost)

static const struct family worker_families[] = {
	{"worker_turns", "", "Turns of the worker's loop.", COUNTER, worker_turns},
	{"worker_turns_with_work", "", "Turns that found packets.", COUNTER, worker_turns_with_work},
	{"worker_sleeps", "", "Times the worker slept.", COUNTER, worker_sleeps},
	{"worker_packets", "packets", "Packets the worker received.", COUNTER, worker_pkts},
	{"worker_busy_cycles", "cycles", "TSC cycles of turns with work.", COUNTER, worker_cycles_busy},
	{"worker_cycles", "cycles", "TSC cycles in all.", COUNTER, worker_cycles},
	{"worker_lost_events", "", "Events for which there was no room.", COUNTER, worker_events_lost},
};

FAMILY_VALUE(dp_memory, struct dp_system_info, o->memory_bytes)
FAMILY_VALUE(dp_memory_free, struct dp_system_info, o->memory_free_bytes)
FAMILY_VALUE(dp_buffers, struct dp_system_info, o->n_mbufs)
FAMILY_VALUE(dp_buffers_free, struct dp_system_info, o->n_mbufs_free)
FAMILY_VALUE(dp_log_errors, struct dp_system_info, o->log_errors)
FAMILY_VALUE(dp_bus_errors, struct dp_system_info, o->bus_errors)

static const struct family system_families[] = {
	{"memory_bytes", "bytes", "Packet memory.", GAUGE, dp_memory},
	{"memory_free_bytes", "bytes", "Packet memory that is free.", GAUGE, dp_memory_free},
	{"buffers", "", "Packet buffers.", GAUGE, dp_buffers},
	{"buffers_free", "", "Packet buffers that are free.", GAUGE, dp_buffers_free},
	{"dpdk_log_errors", "", "Lines that DPDK logged at level error or worse.", COUNTER, dp_log_errors},
	{"bus_errors", "", "Guest memory that was taken away while in use.", COUNTER, dp_bus_errors},
};

FAMILY_VALUE(server_accepted, struct server_stats, o->n_accepted)
FAMILY_VALUE(server_refused, struct server_stats, o->n_refused)
FAMILY_VALUE(server_slow, struct server_stats, o->n_slow)
FAMILY_VALUE(server_too_long, struct server_stats, o->n_too_long)

static const struct family server_families[] = {
	{"clients_accepted", "", "Control connections.", COUNTER, server_accepted},
	{"clients_refused", "", "Control connections above the limit.", COUNTER, server_refused},
	{"clients_slow", "", "Clients disconnected because they did not read.", COUNTER, server_slow},
	{"clients_too_long", "", "Clients disconnected for too long a request.", COUNTER, server_too_long},
};

FAMILY_VALUE(peers_strangers, struct peers, o->n_strangers)

static const struct family stranger_families[] = {
	{"peer_strangers", "", "Messages of hosts that are no peers.", COUNTER, peers_strangers},
};

static void
port_labels(const void *object, char ret_labels[FAMILY_LABELS_SIZE])
{
	const struct port_view *view = object;

	(void)snprintf(ret_labels, FAMILY_LABELS_SIZE, "{port=\"%s\",bridge=\"%s\"", view->port->cfg.name,
		view->port->cfg.bridge);
}

// A domain's name may have any characters (https://github.com/prometheus/OpenMetrics: backslash,
// quote and newline are escaped).
static void
print_escaped(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			(void)fputs("\\n", f);
		else {
			if (*text == '\\' || *text == '"')
				(void)fputc('\\', f);
			(void)fputc(*text, f);
		}
	}
}

// The owners of ports, for a join with the others by `port`.
static void
print_port_info(FILE *f, const struct port_view *views, unsigned n)
{
	family_head(f, "port", "info", "", "Type of the port and the virtual machine that it belongs to.");
	for (unsigned k = 0; k < n; k++) {
		const struct dp_port_cfg *cfg = &views[k].port->cfg;

		(void)fprintf(f, "rtvs_port_info{port=\"%s\",type=\"%s\",domain_uuid=\"%s\",domain=\"", cfg->name,
			port_traits_names[cfg->type], cfg->domain_uuid);
		print_escaped(f, cfg->domain);
		(void)fputs("\"} 1\n", f);
	}
}

static void
print_ports(FILE *f, const struct port_view *views, unsigned n)
{
	const struct series series = {port_labels, views, sizeof(*views), n};
	char labels[FAMILY_LABELS_SIZE];

	print_port_info(f, views, n);
	family_each(f, port_families, N(port_families), &series);
	family_head(f, "port_dropped_packets", "counter", "packets", "Packets that were not delivered, by reason.");
	for (unsigned k = 0; k < n; k++) {
		port_labels(&views[k], labels);
		for (unsigned d = 0; d < DROP_COUNT; d++)
			(void)fprintf(f, "rtvs_port_dropped_packets_total%s,reason=\"%s\"} %" PRIu64 "\n", labels,
				drop_names[d], views[k].stats.drops[d]);
	}
}

static void
segment_labels(const void *object, char ret_labels[FAMILY_LABELS_SIZE])
{
	port_labels(((const struct segment_view *)object)->port, ret_labels);
}

static void
print_segments(FILE *f, const struct port_view *views, unsigned n)
{
	struct segment_view segments[DP_MAX_PORTS];
	struct series found = {segment_labels, segments, sizeof(segments[0]), 0};
	char labels[FAMILY_LABELS_SIZE];
	const char *reason;
	uint64_t count;

	for (unsigned k = 0; k < n; k++)
		if (port_has(views[k].port->cfg.type, PORT_IS_NODE))
			segments[found.n++].port = &views[k];
	if (!found.n)
		return;
	family_each(f, segment_families, N(segment_families), &found);
	family_head(f, "segment_dropped_packets", "counter", "packets",
		"Frames that the switch as a node of the segment did not pass on, by reason.");
	for (unsigned k = 0; k < found.n; k++) {
		segment_labels(&segments[k], labels);
		for (unsigned i = 0;
			port_json_segment_drop(&segments[k].port->state.segment.counters, i, &reason, &count); i++)
			(void)fprintf(f, "rtvs_segment_dropped_packets_total%s,reason=\"%s\"} %" PRIu64 "\n", labels,
				reason, count);
	}
}

static void
print_workers(FILE *f, const struct dp_worker_stats *stats, unsigned n)
{
	char labels[FAMILY_LABELS_SIZE];

	for (unsigned i = 0; i < N(worker_families); i++) {
		family_begin(f, &worker_families[i]);
		for (unsigned k = 0; k < n; k++) {
			(void)snprintf(labels, sizeof(labels), "{worker=\"%u\",cpu=\"%u\"", k, stats[k].cpu);
			family_sample(f, &worker_families[i], labels, &stats[k]);
		}
	}
	family_head(f, "worker_stall_seconds", "histogram", "seconds", "Times when a worker did not have its core.");
	for (unsigned k = 0; k < n; k++) {
		(void)snprintf(labels, sizeof(labels), "{worker=\"%u\"", k);
		family_hist(f, "worker_stall_seconds", labels, &stats[k].stalls);
	}
}

struct flow_view {
	const struct model_port *port, *from;
	struct dp_sender flow;
};

FAMILY_VALUE(flow_queued, struct flow_view, o->flow.n_queued)
FAMILY_VALUE(flow_guaranteed, struct flow_view, o->flow.guaranteed_pkts)
FAMILY_VALUE(flow_guaranteed_bytes, struct flow_view, o->flow.guaranteed_bytes)
FAMILY_VALUE(flow_surplus, struct flow_view, o->flow.surplus_pkts)
FAMILY_VALUE(flow_surplus_bytes, struct flow_view, o->flow.surplus_bytes)
FAMILY_VALUE(flow_missed, struct flow_view, o->flow.missed_pkts)
FAMILY_VALUE(flow_broken, struct flow_view, o->flow.broken_pkts)
FAMILY_VALUE(flow_late, struct flow_view, o->flow.late_pkts)

static const struct family flow_families[] = {
	{"flow_queued_packets", "packets", "Packets that wait at the egress port.", GAUGE, flow_queued},
	{"flow_guaranteed_packets", "packets", "Packets that left within the guarantee.", COUNTER, flow_guaranteed},
	{"flow_guaranteed_bytes", "bytes", "Bytes that left within the guarantee.", COUNTER, flow_guaranteed_bytes},
	{"flow_surplus_packets", "packets", "Packets that left beyond the guarantee.", COUNTER, flow_surplus},
	{"flow_surplus_bytes", "bytes", "Bytes that left beyond the guarantee.", COUNTER, flow_surplus_bytes},
	{"flow_missed_packets", "packets", "Packets that left, or were dropped, after their deadline.", COUNTER,
		flow_missed},
	{"flow_broken_packets", "packets", "Guaranteed packets that left, or were dropped, after their deadline.",
		COUNTER, flow_broken},
	{"flow_late_packets", "packets", "Packets dropped because their deadline had passed.", COUNTER, flow_late},
};

static void
flow_labels(const void *object, char ret_labels[FAMILY_LABELS_SIZE])
{
	const struct flow_view *view = object;

	(void)snprintf(
		ret_labels, FAMILY_LABELS_SIZE, "{port=\"%s\",from=\"%s\"", view->port->cfg.name, view->from->cfg.name);
}

// Flows of all egress ports.
static unsigned
collect_flows(const struct ctl *ctl, struct flow_view *views)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++) {
		const struct model_port *port = ctl->plane.live->ports[i];
		uint32_t pos = 0;

		while (n < FAMILY_MAX_SERIES && dp_sender_list(ctl->plane.dp, port->id, &pos, &views[n].flow, 1)) {
			views[n].port = port;
			views[n].from = model_port_sender(ctl->plane.live, views[n].flow.port);
			n += views[n].from != NULL;
		}
	}
	return n;
}

static void
print_flows(FILE *f, const struct ctl *ctl)
{
	// pages are touched as far as there are flows
	struct flow_view *views = calloc(FAMILY_MAX_SERIES, sizeof(*views));
	const struct series series = {flow_labels, views, sizeof(*views), views ? collect_flows(ctl, views) : 0};

	if (series.n) {
		family_each(f, flow_families, N(flow_families), &series);
		family_hists(f, "flow_delay_seconds", "From a packet's arrival in the host to its departure.", &series,
			offsetof(struct flow_view, flow.delay));
	}
	free(views);
}

static void
print_bridges(FILE *f, const struct ctl *ctl)
{
	family_head(f, "bridge_macs", "gauge", "", "Entries of the MAC table.");
	for (unsigned i = 0; i < ctl->plane.live->n_bridges; i++)
		(void)fprintf(f, "rtvs_bridge_macs{bridge=\"%s\"} %" PRIu32 "\n", ctl->plane.live->bridges[i]->cfg.name,
			dp_bridge_n_macs(ctl->plane.dp, ctl->plane.live->bridges[i]->id));
	family_head(f, "bridge_mac_moves", "counter", "", "MACs that moved from one port to another.");
	for (unsigned i = 0; i < ctl->plane.live->n_bridges; i++)
		(void)fprintf(f, "rtvs_bridge_mac_moves_total{bridge=\"%s\"} %" PRIu64 "\n",
			ctl->plane.live->bridges[i]->cfg.name,
			dp_bridge_n_moves(ctl->plane.dp, ctl->plane.live->bridges[i]->id));
}

char *
metrics_text(const struct ctl *ctl, size_t *ret_len)
{
	// The control thread is the only caller. Pages are touched as far as there are ports.
	static struct port_view views[DP_MAX_PORTS];
	static struct dp_worker_stats workers[DP_MAX_WORKERS];
	struct dp_system_info info = {0};
	unsigned n_workers = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return NULL;
	(void)dp_stats_refresh(ctl->plane.dp);
	dp_system_info(ctl->plane.dp, &info);
	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++) {
		views[i] = (struct port_view){.port = ctl->plane.live->ports[i]};
		(void)dp_port_state(ctl->plane.dp, views[i].port->id, &views[i].state);
		(void)dp_port_stats(ctl->plane.dp, views[i].port->id, &views[i].stats);
	}
	while (n_workers < DP_MAX_WORKERS && dp_worker_stats(ctl->plane.dp, n_workers, &workers[n_workers]) == 0)
		n_workers++;
	family_head(f, "build", "info", "", "Version of the daemon.");
	(void)fprintf(f, "rtvs_build_info{version=\"%s\"} 1\n", ctl->params.version);
	family_one(f, system_families, N(system_families), &info);
	family_one(f, server_families, N(server_families), &ctl->server.stats);
	family_one(f, stranger_families, N(stranger_families), &ctl->peers);
	print_bridges(f, ctl);
	print_ports(f, views, ctl->plane.live->n_ports);
	print_segments(f, views, ctl->plane.live->n_ports);
	print_workers(f, workers, n_workers);
	print_flows(f, ctl);
	metrics_remote(f, ctl);
	(void)fputs("# EOF\n", f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
