// Measurements between hosts, as metrics: flows that came through tunnels, other hosts' daemons,
// and feedback's results for this host's packets to them. Peers are shown from the result of
// peer.list.
#include "metrics_remote.h"

#include "ctl.h"
#include "family.h"
#include "peers_json.h"
#include "rtvs/units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define N(table) (sizeof(table) / sizeof((table)[0]))

struct remote_view {
	const struct model_port *tunnel;
	struct dp_delay d;
};

FAMILY_VALUE(remote_received, struct remote_view, o->d.stats.received)
FAMILY_VALUE(remote_lost, struct remote_view, o->d.stats.lost)
FAMILY_VALUE(remote_reordered, struct remote_view, o->d.stats.reordered)
FAMILY_VALUE(remote_late, struct remote_view, o->d.stats.late)
FAMILY_VALUE(remote_duplicates, struct remote_view, o->d.stats.duplicates)
FAMILY_VALUE(remote_restarts, struct remote_view, o->d.stats.restarts)
FAMILY_VALUE(remote_missed, struct remote_view, o->d.stats.missed)
FAMILY_VALUE(remote_unjudged, struct remote_view, o->d.stats.unjudged)
FAMILY_VALUE(remote_impossible, struct remote_view, o->d.stats.impossible)
FAMILY_VALUE(remote_deadline, struct remote_view, o->d.stats.deadline_ns)
FAMILY_VALUE(remote_uncertainty, struct remote_view, o->d.stats.uncertainty_ns)

static const struct family remote_families[] = {
	{"remote_flow_received_packets", "packets", "Packets of another host's port that came through the tunnel.",
		COUNTER, remote_received},
	{"remote_flow_lost_packets", "packets", "Packets that did not come.", COUNTER, remote_lost},
	{"remote_flow_reordered_packets", "packets", "Packets that came after a later one.", COUNTER, remote_reordered},
	{"remote_flow_late_packets", "packets", "Packets that came when they were counted as lost.", COUNTER,
		remote_late},
	{"remote_flow_duplicate_packets", "packets", "Packets that came again.", COUNTER, remote_duplicates},
	{"remote_flow_restarts", "", "Times when the sender began to count anew.", COUNTER, remote_restarts},
	{"remote_flow_missed_packets", "packets", "Packets that came after their deadline.", COUNTER, remote_missed},
	{"remote_flow_unjudged_packets", "packets", "Packets whose clocks were too uncertain for their deadline.",
		COUNTER, remote_unjudged},
	{"remote_flow_impossible_packets", "packets", "Packets that came before they left, as the clocks say.", COUNTER,
		remote_impossible},
	{"remote_flow_deadline_seconds", "seconds", "Deadline of the last packet, 0: none.", GAUGE, remote_deadline},
	{"remote_flow_uncertainty_seconds", "seconds", "What is not known of the clocks.", GAUGE, remote_uncertainty},
};

static void
remote_labels(const void *object, char ret_labels[FAMILY_LABELS_SIZE])
{
	const struct remote_view *view = object;

	(void)snprintf(
		ret_labels, FAMILY_LABELS_SIZE, "{tunnel=\"%s\",flow=\"%u\"", view->tunnel->cfg.name, view->d.flow);
}

// Flows of all tunnels.
static unsigned
collect_remote(const struct ctl *ctl, struct remote_view *views)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++) {
		const struct model_port *port = ctl->plane.live->ports[i];
		uint32_t pos = 0;

		while (port_has(port->cfg.type, PORT_IS_TUNNEL) && n < FAMILY_MAX_SERIES &&
			dp_delay_list(ctl->plane.dp, port->id, &pos, &views[n].d, 1))
			views[n++].tunnel = port;
	}
	return n;
}

static void
print_remote(FILE *f, const struct ctl *ctl)
{
	struct remote_view *views = calloc(FAMILY_MAX_SERIES, sizeof(*views)); // as in print_flows
	const struct series series = {remote_labels, views, sizeof(*views), views ? collect_remote(ctl, views) : 0};

	if (series.n) {
		family_each(f, remote_families, N(remote_families), &series);
		family_hists(f, "remote_flow_delay_seconds", "From a packet's arrival at the sender's host to here.",
			&series, offsetof(struct remote_view, d.delay));
		family_hists(f, "remote_flow_network_seconds", "The same, less what passed at the sender's host.",
			&series, offsetof(struct remote_view, d.network));
	}
	free(views);
}

struct peer_view {
	const json_t *peer, *flow; // flow: of one of our ports to it; NULL: none
};

static uint64_t
number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static uint64_t
time_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	uint64_t ns = 0;

	(void)units_parse_time(text ? text : "", &ns);
	return ns;
}

#define IS(object, key) json_is_true(json_object_get(object, key))
FAMILY_VALUE(peer_known, struct peer_view, IS(o->peer, "known"))
FAMILY_VALUE(peer_offset, struct peer_view, number(o->peer, "offset_ns"))
FAMILY_VALUE(
	peer_uncertainty, struct peer_view, IS(o->peer, "clock_known") ? number(o->peer, "uncertainty_ns") : UINT64_MAX)
FAMILY_VALUE(peer_rtt, struct peer_view, number(o->peer, "rtt_ns"))
FAMILY_VALUE(peer_steps, struct peer_view, number(o->peer, "clock_steps"))
FAMILY_VALUE(peer_sent, struct peer_view, number(o->peer, "sent"))
FAMILY_VALUE(peer_unsent, struct peer_view, number(o->peer, "unsent"))
FAMILY_VALUE(peer_reports, struct peer_view, number(o->peer, "reports"))
FAMILY_VALUE(feedback_deadline, struct peer_view, time_of(o->flow, "scheduling_deadline"))
FAMILY_VALUE(feedback_step, struct peer_view, number(o->flow, "step"))
FAMILY_VALUE(feedback_escalated, struct peer_view, IS(o->flow, "escalated"))
FAMILY_VALUE(feedback_reports, struct peer_view, number(o->flow, "reports"))
FAMILY_VALUE(feedback_missed, struct peer_view, number(o->flow, "missed"))
FAMILY_VALUE(feedback_shortened, struct peer_view, number(o->flow, "shortened"))
FAMILY_VALUE(feedback_raised, struct peer_view, number(o->flow, "raised"))
FAMILY_VALUE(feedback_recovered, struct peer_view, number(o->flow, "recovered"))

static const struct family peer_families[] = {
	{"peer_known", "", "1: the daemon there has answered under a key of ours.", GAUGE, peer_known},
	{"peer_clock_offset_seconds", "seconds", "The clock there less ours.", SIGNED, peer_offset},
	{"peer_clock_uncertainty_seconds", "seconds", "What the offset may be wrong by.", GAUGE, peer_uncertainty},
	{"peer_round_trip_seconds", "seconds", "Of the last exchange of times.", GAUGE, peer_rtt},
	{"peer_clock_steps", "", "Times when a clock was set.", COUNTER, peer_steps},
	{"peer_sent_messages", "messages", "Messages sent.", COUNTER, peer_sent},
	{"peer_unsent_messages", "messages", "Messages for which there was no way.", COUNTER, peer_unsent},
	{"peer_reports", "", "Reports of flows that came.", COUNTER, peer_reports},
};

static const struct family feedback_families[] = {
	{"feedback_deadline_seconds", "seconds", "How soon the port's packets have to leave.", GAUGE,
		feedback_deadline},
	{"feedback_step", "", "Step of the ladder of DSCPs, 0: its own.", GAUGE, feedback_step},
	{"feedback_escalated", "", "1: packets are late and nothing is left to do here.", GAUGE, feedback_escalated},
	{"feedback_reports", "", "Reports that were looked at.", COUNTER, feedback_reports},
	{"feedback_missed_packets", "packets", "Packets that were reported late.", COUNTER, feedback_missed},
	{"feedback_shortened", "", "Times when the deadline was shortened.", COUNTER, feedback_shortened},
	{"feedback_raised", "", "Times when the step was raised.", COUNTER, feedback_raised},
	{"feedback_recovered", "", "Times when all was back at the start.", COUNTER, feedback_recovered},
};

static void
peer_labels(const void *object, char ret_labels[FAMILY_LABELS_SIZE])
{
	const struct peer_view *view = object;

	(void)snprintf(ret_labels, FAMILY_LABELS_SIZE, "{uplink=\"%s\",address=\"%s\"",
		json_string_value(json_object_get(view->peer, "uplink")),
		json_string_value(json_object_get(view->peer, "address")));
}

static void
feedback_labels(const void *object, char ret_labels[FAMILY_LABELS_SIZE])
{
	const struct peer_view *view = object;
	size_t len;

	peer_labels(object, ret_labels);
	len = strlen(ret_labels);
	(void)snprintf(ret_labels + len, FAMILY_LABELS_SIZE - len, ",port=\"%s\"",
		json_string_value(json_object_get(view->flow, "port")));
}

static void
print_messages(FILE *f, const struct series *series)
{
	static const char *const results[] = {
		"accepted", "replayed", "elsewhere", "limited", "malformed", "unknown_key", "forged"};
	char labels[FAMILY_LABELS_SIZE];

	family_head(f, "peer_received_messages", "counter", "messages", "Messages that came, by what became of them.");
	for (unsigned k = 0; k < series->n; k++) {
		const struct peer_view *view = family_object(series, k);

		peer_labels(view, labels);
		for (unsigned i = 0; i < N(results); i++)
			(void)fprintf(f, "rtvs_peer_received_messages_total%s,result=\"%s\"} %" PRIu64 "\n", labels,
				results[i], number(view->peer, results[i]));
	}
}

static void
print_feedback(FILE *f, const json_t *peers)
{
	static struct peer_view views[FAMILY_MAX_SERIES];
	struct series series = {feedback_labels, views, sizeof(*views), 0};
	json_t *peer, *flow;
	size_t i, k;

	json_array_foreach ((json_t *)(uintptr_t)peers, i, peer)
		json_array_foreach (json_object_get(peer, "flows"), k, flow)
			if (series.n < FAMILY_MAX_SERIES)
				views[series.n++] = (struct peer_view){peer, flow};
	if (series.n)
		family_each(f, feedback_families, N(feedback_families), &series);
}

// A peer is an address that tunnels lead to: there are fewer than ports.
static void
print_peers(FILE *f, const struct ctl *ctl)
{
	struct peer_view views[DP_MAX_PORTS];
	struct series series = {peer_labels, views, sizeof(*views), 0};
	json_t *peers = peers_json(ctl), *peer;
	size_t i;

	json_array_foreach (peers, i, peer)
		if (series.n < DP_MAX_PORTS)
			views[series.n++] = (struct peer_view){peer, NULL};
	if (series.n) {
		family_each(f, peer_families, N(peer_families), &series);
		print_messages(f, &series);
		print_feedback(f, peers);
	}
	json_decref(peers);
}

void
metrics_remote(FILE *f, const struct ctl *ctl)
{
	print_remote(f, ctl);
	print_peers(f, ctl);
}
