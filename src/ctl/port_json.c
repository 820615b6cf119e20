// Turns the datapath's view of a port into JSON. No decisions: names and order of members, for
// rpc_port.c, rpc_stats.c and metrics.c. Names of features are those of the virtio specification
// 1.3, section 5.1.3.
#include "port_json.h"

#include "rtvs/units.h"

#include <stdio.h>
#include <string.h>

static const char *const feature_names[64] = {
	[0] = "csum",
	[1] = "guest_csum",
	[2] = "ctrl_guest_offloads",
	[3] = "mtu",
	[5] = "mac",
	[6] = "gso",
	[7] = "guest_tso4",
	[8] = "guest_tso6",
	[9] = "guest_ecn",
	[10] = "guest_ufo",
	[11] = "host_tso4",
	[12] = "host_tso6",
	[13] = "host_ecn",
	[14] = "host_ufo",
	[15] = "mrg_rxbuf",
	[16] = "status",
	[17] = "ctrl_vq",
	[18] = "ctrl_rx",
	[19] = "ctrl_vlan",
	[20] = "ctrl_rx_extra",
	[21] = "guest_announce",
	[22] = "mq",
	[23] = "ctrl_mac_addr",
	[24] = "notify_on_empty",
	[26] = "log_all",
	[27] = "any_layout",
	[28] = "indirect_desc",
	[29] = "event_idx",
	[30] = "protocol_features",
	[32] = "version_1",
	[33] = "access_platform",
	[34] = "ring_packed",
	[35] = "in_order",
	[36] = "order_platform",
	[37] = "sr_iov",
	[38] = "notification_data",
	[39] = "notif_config_data",
	[40] = "ring_reset",
	[52] = "vq_notf_coal",
	[53] = "notf_coal",
	[54] = "guest_uso4",
	[55] = "guest_uso6",
	[56] = "host_uso",
	[57] = "hash_report",
	[59] = "guest_hdrlen",
	[60] = "rss",
	[61] = "rsc_ext",
	[62] = "standby",
	[63] = "speed_duplex",
};

json_t *
port_json_features(uint64_t features)
{
	json_t *list = json_array();
	char text[8];

	for (unsigned i = 0; i < 64; i++) {
		if (!(features >> i & 1))
			continue;
		(void)snprintf(text, sizeof(text), "bit%u", i);
		(void)json_array_append_new(list, json_string(feature_names[i] ? feature_names[i] : text));
	}
	return list;
}

json_t *
port_json_summary(const struct dp *dp, const struct model_port *port)
{
	struct dp_port_state state = {0};
	json_t *object = json_object();

	(void)dp_port_state(dp, port->id, &state);
	(void)json_object_set_new(object, "name", json_string(port->cfg.name));
	(void)json_object_set_new(object, "bridge", json_string(port->cfg.bridge));
	(void)json_object_set_new(object, "type", json_string(port_traits_names[port->cfg.type]));
	// as other hosts know its flow
	(void)json_object_set_new(object, "number", json_integer(port->id));
	if (port->cfg.domain[0])
		(void)json_object_set_new(object, "domain", json_string(port->cfg.domain));
	(void)json_object_set_new(object, "link", json_string(state.is_link_up ? "up" : "down"));
	(void)json_object_set_new(object, "connected", json_boolean(state.is_connected));
	(void)json_object_set_new(object, "detail", json_string(state.detail));
	return object;
}

static void
add_vhost_state(json_t *object, const struct dp_port_state *state)
{
	char hex[24], text[UNITS_TEXT_SIZE];

	(void)snprintf(hex, sizeof(hex), "0x%llx", (unsigned long long)state->features);
	(void)json_object_set_new(
		object, "ring", state->is_connected ? json_string(state->is_packed ? "packed" : "split") : json_null());
	(void)json_object_set_new(object, "features", port_json_features(state->features));
	(void)json_object_set_new(object, "features_hex", json_string(hex));
	(void)json_object_set_new(object, "pid", json_integer(state->pid));
	(void)json_object_set_new(
		object, "wake", state->wake_ns ? json_string(units_format_time(state->wake_ns, text)) : json_null());
	(void)json_object_set_new(object, "connects", json_integer((json_int_t)state->n_connects));
	(void)json_object_set_new(object, "disconnects", json_integer((json_int_t)state->n_disconnects));
	(void)json_object_set_new(object, "rings_recovered", json_integer((json_int_t)state->n_rings_recovered));
}

static const struct {
	const char *name;
	size_t offset; // in struct segment_counters
} segment_drops[] = {
#define N(reason) {#reason, offsetof(struct segment_counters, reason)}
	N(tx_no_slot),
	N(tx_inbox_full),
	N(tx_nobody),
	N(tx_gone),
	N(rx_stale),
	N(rx_bad),
#undef N
};

bool
port_json_segment_drop(const struct segment_counters *counters, unsigned i, const char **ret_reason, uint64_t *ret_n)
{
	if (i >= sizeof(segment_drops) / sizeof(segment_drops[0]))
		return false;
	*ret_reason = segment_drops[i].name;
	memcpy(ret_n, (const char *)counters + segment_drops[i].offset, sizeof(*ret_n));
	return true;
}

static void
add_segment_state(json_t *object, const struct dp_port_state *state)
{
	const struct dp_segment_state *s = &state->segment;
	json_t *drops = json_object();
	const char *reason;
	uint64_t n;

	for (unsigned i = 0; port_json_segment_drop(&s->counters, i, &reason, &n); i++)
		(void)json_object_set_new(drops, reason, json_integer((json_int_t)n));
	(void)json_object_set_new(object, "node", s->node < 0 ? json_null() : json_integer(s->node));
	(void)json_object_set_new(object, "nodes", json_integer(s->n_nodes));
	(void)json_object_set_new(object, "slots", json_integer(s->n_slots));
	(void)json_object_set_new(object, "slots_free", json_integer(s->n_slots_free));
	(void)json_object_set_new(object, "slots_held", json_integer(s->n_slots_held));
	(void)json_object_set_new(object, "inbox", json_integer(s->inbox_depth));
	(void)json_object_set_new(object, "inbox_size", json_integer(s->inbox_size));
	(void)json_object_set_new(object, "segment_drops", drops);
	(void)json_object_set_new(object, "connects", json_integer((json_int_t)state->n_connects));
	(void)json_object_set_new(object, "disconnects", json_integer((json_int_t)state->n_disconnects));
}

json_t *
port_json_state(const struct dp *dp, const struct model_port *port)
{
	struct dp_port_state state = {0};
	json_t *object = json_object();
	char text[UNITS_TEXT_SIZE];

	(void)dp_port_state(dp, port->id, &state);
	(void)json_object_set_new(object, "link", json_string(state.is_link_up ? "up" : "down"));
	(void)json_object_set_new(object, "connected", json_boolean(state.is_connected));
	(void)json_object_set_new(object, "queues", json_integer(state.n_queues));
	(void)json_object_set_new(object, "mtu", json_integer(state.mtu));
	(void)json_object_set_new(object, "worker", json_integer(state.worker));
	(void)json_object_set_new(object, "n_macs", json_integer(dp_port_n_macs(dp, port->id)));
	if (port->cfg.device[0])
		(void)json_object_set_new(object, "offloaded", json_string(port->cfg.device));
	if (port_has(port->cfg.type, PORT_IS_GUEST)) {
		add_vhost_state(object, &state);
	} else if (port_has(port->cfg.type, PORT_IS_NODE)) {
		add_segment_state(object, &state);
	} else {
		(void)json_object_set_new(object, "speed", json_string(units_format_rate(state.speed_bps, text)));
		(void)json_object_set_new(object, "mac", json_string(units_format_mac(&state.mac, text)));
	}
	(void)json_object_set_new(object, "detail", json_string(state.detail));
	return object;
}

json_t *
port_json_holds(const struct dp *dp, const struct model *model, const struct model_port *port, bool is_holder)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < model->n_ports; i++) {
		const struct model_port *other = model->ports[i];
		uint64_t held_ns =
			is_holder ? dp_port_held_ns(dp, other->id, port->id) : dp_port_held_ns(dp, port->id, other->id);

		if (held_ns)
			(void)json_array_append_new(
				list, json_pack("{s:s, s:I}", "port", other->cfg.name, "held_ns", (json_int_t)held_ns));
	}
	return list;
}

uint64_t
port_json_n_drops(const struct dp_port_stats *stats)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DROP_COUNT; i++)
		sum += stats->drops[i];
	return sum;
}

json_t *
port_json_counters(const struct dp_port_stats *stats)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rx_pkts",
		(json_int_t)stats->rx_pkts, "rx_bytes", (json_int_t)stats->rx_bytes, "tx_pkts",
		(json_int_t)stats->tx_pkts, "tx_bytes", (json_int_t)stats->tx_bytes, "drops",
		(json_int_t)port_json_n_drops(stats), "replicated", (json_int_t)stats->replicated, "to_daemon",
		(json_int_t)stats->to_daemon, "queued", (json_int_t)stats->queued, "guest_errors",
		(json_int_t)stats->guest_errors, "blocked_ns", (json_int_t)stats->blocked_ns, "prewakes",
		(json_int_t)stats->prewakes);
}

json_t *
port_json_drops(const struct dp_port_stats *stats)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < DROP_COUNT; i++)
		if (stats->drops[i] > 0)
			(void)json_object_set_new(object, drop_names[i], json_integer((json_int_t)stats->drops[i]));
	return object;
}

json_t *
port_json_stats(const struct dp *dp, const struct model_port *port)
{
	struct dp_port_stats stats = {0};
	json_t *object;

	(void)dp_port_stats(dp, port->id, &stats);
	object = port_json_counters(&stats);
	if (object)
		(void)json_object_set_new(object, "drops_by_reason", port_json_drops(&stats));
	return object;
}

json_t *
port_json_device_stats(const struct dp *dp, const struct model_port *port)
{
	struct dp_device_stat stats[DP_MAX_DEVICE_STATS];
	unsigned n = dp_port_device_stats(dp, port->id, stats, DP_MAX_DEVICE_STATS);
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(list,
			json_pack("{s:i, s:s, s:I}", "queue", (int)stats[i].queue, "name", stats[i].name, "value",
				(json_int_t)stats[i].value));
	return list;
}

json_t *
port_json_hist(const struct hist *h)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		if (h->bucket[i] > 0)
			(void)json_array_append_new(buckets,
				json_pack("[I, I, I]", (json_int_t)hist_bucket_low(i), (json_int_t)hist_bucket_high(i),
					(json_int_t)h->bucket[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "count", (json_int_t)h->count, "p50_ns",
		(json_int_t)hist_percentile(h, 50000), "p90_ns", (json_int_t)hist_percentile(h, 90000), "p99_ns",
		(json_int_t)hist_percentile(h, 99000), "p99_9_ns", (json_int_t)hist_percentile(h, 99900), "p99_99_ns",
		(json_int_t)hist_percentile(h, 99990), "max_ns", (json_int_t)h->max, "buckets", buckets);
}
