// Methods of the noun stats: where packets go.
#include "answer.h"
#include "flow_json.h"
#include "methods.h"
#include "plane.h"
#include "port_json.h"

#include <errno.h>

// In one answer: 3 MB at most, which fits a client's backlog (server.h).
#define MAX_FLOWS 4096

struct stats_params {
	char port[RTVS_NAME_SIZE];
	bool flows;
};

static const struct rpc_param stats_params[] = {
	RPC_PARAM(struct stats_params, port, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .help = "only this port; empty: all"),
	RPC_PARAM(struct stats_params, flows, RPC_BOOL, .def = "true",
		.help = "each scheduled port with the flows of others through it, and tunnels with the flows that came "
			"through them"),
};

static void
add_up(struct dp_port_stats *sum, const struct dp_port_stats *stats)
{
	sum->rx_pkts += stats->rx_pkts;
	sum->rx_bytes += stats->rx_bytes;
	sum->tx_pkts += stats->tx_pkts;
	sum->tx_bytes += stats->tx_bytes;
	sum->replicated += stats->replicated;
	sum->to_daemon += stats->to_daemon;
	sum->queued += stats->queued;
	sum->guest_errors += stats->guest_errors;
	sum->blocked_ns += stats->blocked_ns;
	for (unsigned i = 0; i < DROP_COUNT; i++)
		sum->drops[i] += stats->drops[i];
}

// The ports that the caller names, each turned into JSON by fn; and their sum. NULL: there is no
// such port.
static json_t *
collect(const struct plane *plane, const char *name,
	json_t *(*fn)(const struct model_port *, const struct dp_port_stats *), struct dp_port_stats *ret_sum,
	struct rpc_error *err)
{
	const struct model_port *only = name[0] ? model_port_find(plane->model, name) : NULL;
	json_t *list;

	if (name[0] && !only) {
		(void)ctl_refuse_name(err, -ENOENT, "port", name);
		return NULL;
	}
	list = json_array();
	for (unsigned i = 0; i < plane->model->n_ports; i++) {
		const struct model_port *port = plane->model->ports[i];
		struct dp_port_stats stats = {0};
		if (only && port != only)
			continue;
		(void)dp_port_stats(plane->dp, port->id, &stats);
		(void)json_array_append_new(list, fn(port, &stats));
		if (port_has(port->cfg.type, PORT_IS_VIRTUAL)) // counted at other ports, too
			stats.rx_pkts = stats.rx_bytes = stats.tx_pkts = stats.tx_bytes = 0;
		add_up(ret_sum, &stats);
	}
	return list;
}

static json_t *
counters_of(const struct model_port *port, const struct dp_port_stats *stats)
{
	json_t *object = json_pack("{s:s}", "port", port->cfg.name);
	json_t *counters = port_json_counters(stats);

	if (object && counters)
		(void)json_object_update(object, counters);
	json_decref(counters);
	return object;
}

static json_t *
flow_with_packets(const struct dp_port_cfg *out, const struct dp_port_cfg *from, const struct dp_sender *f)
{
	bool has_packets = f->n_queued || f->guaranteed_pkts || f->surplus_pkts || f->late_pkts;

	return has_packets ? flow_json_counters(out, from, f) : NULL;
}

static void
set_list(json_t *port, const char *key, json_t *list)
{
	if (json_array_size(list))
		(void)json_object_set(port, key, list);
	json_decref(list);
}

// Gives each of the ports that had to wait for others the list of these.
static void
add_holds(const struct plane *plane, json_t *ports)
{
	json_t *port;
	size_t i;

	json_array_foreach (ports, i, port)
		set_list(port, "held_back_by",
			port_json_holds(plane->dp, plane->model,
				model_port_find(plane->model, json_string_value(json_object_get(port, "port"))),
				false));
}

// Adds to each of the ports the lists of flows that were sent through it, and of those that came
// through it from another host.
// False: there are more flows than MAX_FLOWS, and from some port on there are no lists.
static bool
add_flows(const struct plane *plane, json_t *ports)
{
	json_t *port;
	size_t n = 0, i;

	json_array_foreach (ports, i, port) {
		const struct model_port *p =
			model_port_find(plane->model, json_string_value(json_object_get(port, "port")));
		json_t *flows = json_array(), *remote = json_array();

		flow_json_add(plane, p, "", flow_with_packets, flows);
		flow_json_add_remote(plane, p, FLOW_JSON_ALL, flow_json_remote_counters, remote);
		n += json_array_size(flows) + json_array_size(remote);
		if (n > MAX_FLOWS) {
			json_decref(flows);
			json_decref(remote);
			return false;
		}
		set_list(port, "flows", flows);
		set_list(port, "remote_flows", remote);
	}
	return true;
}

static int
stats_get(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct stats_params *p = params;
	struct dp_port_stats sum = {0}, gone = {0};
	bool is_fresh = dp_stats_refresh(plane->dp) == 0, is_complete;
	json_t *ports = collect(plane, p->port, counters_of, &sum, err);

	(void)present;
	if (!ports)
		return -1;
	add_holds(plane, ports);
	is_complete = !p->flows || add_flows(plane, ports);
	dp_stats_gone(plane->dp, &gone);
	if (!p->port[0])
		add_up(&sum, &gone);
	return ctl_answer(ret_result,
		json_pack("{s:o, s:o, s:o, s:b, s:b}", "ports", ports, "removed", port_json_counters(&gone), "total",
			port_json_counters(&sum), "consistent", is_fresh, "flows_complete", is_complete),
		err);
}

static json_t *
drops_of(const struct model_port *port, const struct dp_port_stats *stats)
{
	json_t *drops = json_array();

	for (unsigned i = 0; i < DROP_COUNT; i++)
		if (stats->drops[i] > 0)
			(void)json_array_append_new(drops,
				json_pack("{s:s, s:I, s:s}", "reason", drop_names[i], "count",
					(json_int_t)stats->drops[i], "text", drop_texts[i]));
	return json_pack("{s:s, s:o}", "port", port->cfg.name, "drops", drops);
}

static int
stats_drops(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct stats_params *p = params;
	struct dp_port_stats sum = {0};
	json_t *list;

	(void)present;
	(void)dp_stats_refresh(plane->dp);
	list = collect(plane, p->port, drops_of, &sum, err);
	return list ? ctl_answer(ret_result, list, err) : -1;
}

#define SIZE sizeof(struct stats_params)
const struct rpc_method rpc_stats_methods[] = {
	{"stats.get",
		"Show packets and bytes of ports, and how long they were held back (blocked_ns), since they were "
		"added.",
		"{ports, removed, total, consistent, flows_complete}; rx + replicated = tx + queued + to_daemon + "
		"drops holds for total when consistent. flows of a port: those of flow.list that had packets; "
		"remote_flows of a tunnel: those of flow.remote, without histograms. When not flows_complete, these "
		"lists are missing from some port on.",
		stats_get, stats_params, 2, SIZE, RPC_READ_ONLY},
	{"stats.drops", "Show why packets were dropped.",
		"List of {port, drops: [{reason, count, text}]}, without zeros.", stats_drops, stats_params, 1, SIZE,
		RPC_READ_ONLY},
	{0},
};
