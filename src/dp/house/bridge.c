// Bridges and their MAC tables, seen from the control thread: sizes, static entries, ageing.
// Learning is the workers' part (switch.c). A table's size follows its limit at creation; a later
// limit must fit the size.
#include "bridge.h"

#include "dp_state.h"
#include "registry.h"

#include <rte_malloc.h>
#include <rte_random.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAC_LIMIT_MIN 16
#define MAC_LIMIT_MAX (1u << 20)
#define AGE_MIN_NS UINT64_C(1000000000)
#define AGE_MAX_NS (UINT64_C(86400) * 1000000000)
#define SWEEP_SHARE 8 // of a table's buckets looked at a second, at least SWEEP_MIN
#define SWEEP_MIN 4096u
#define FORGET_EVERY_NS UINT64_C(1000000000) // what a port has lost with its link

static uint32_t
now_s(const struct dp *dp)
{
	return (uint32_t)(clock_now_ns(&dp->env.clock) / 1000000000);
}

static int
check(const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE])
{
	if (cfg->mac_limit < MAC_LIMIT_MIN || cfg->mac_limit > MAC_LIMIT_MAX) {
		dp_error(err, "mac_limit: %u is out of range %u to %u", cfg->mac_limit, MAC_LIMIT_MIN, MAC_LIMIT_MAX);
		return -EINVAL;
	}
	if (cfg->mac_age_ns < AGE_MIN_NS || cfg->mac_age_ns > AGE_MAX_NS) {
		dp_error(err, "mac_age: %" PRIu64 " ns is out of range 1s to 1d", cfg->mac_age_ns);
		return -EINVAL;
	}
	return 0;
}

int
dp_bridge_add(struct dp *dp, const struct dp_bridge_cfg *cfg, unsigned *ret_id, char err[DP_ERR_SIZE])
{
	uint32_t n_buckets = mac_table_n_buckets(cfg->mac_limit);
	struct mac_bucket *buckets;
	struct bridge *bridge;
	unsigned id = 0;
	int rc = check(cfg, err);

	if (rc)
		return rc;
	if (registry_bridge(dp, cfg->name)) {
		dp_error(err, "name: there is already a bridge '%s'", cfg->name);
		return -EEXIST;
	}
	while (id < DP_MAX_BRIDGES && dp->bridge[id])
		id++;
	if (id == DP_MAX_BRIDGES) {
		dp_error(err, "there are already %u bridges", DP_MAX_BRIDGES);
		return -ENOSPC;
	}
	bridge = rte_zmalloc("bridge", sizeof(*bridge), RTE_CACHE_LINE_SIZE);
	buckets = rte_zmalloc("macs", (size_t)n_buckets * sizeof(*buckets), RTE_CACHE_LINE_SIZE);
	if (!bridge || !buckets) {
		rte_free(bridge);
		rte_free(buckets);
		dp_error(err, "mac_limit: no memory for a table of %u entries", cfg->mac_limit);
		return -ENOMEM;
	}
	bridge->path.id = (uint16_t)id;
	bridge->cfg = *cfg;
	(void)mac_table_init(&bridge->path.macs, buckets, n_buckets, cfg->mac_limit, (uint32_t)rte_rand());
	dp->bridge[id] = bridge;
	*ret_id = id;
	return 0;
}

int
dp_bridge_set(struct dp *dp, unsigned id, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct bridge *bridge = id < DP_MAX_BRIDGES ? dp->bridge[id] : NULL;
	int rc = bridge ? check(cfg, err) : -ENOENT;

	if (rc)
		return rc;
	if (mac_table_n_buckets(cfg->mac_limit) > bridge->path.macs.n_buckets) {
		dp_error(err, "mac_limit: the table was made for %u entries; make the bridge again to enlarge it",
			bridge->path.macs.n_buckets * MAC_TABLE_WAYS / 2);
		return -EINVAL;
	}
	bridge->cfg = *cfg;
	mac_table_set_limit(&bridge->path.macs, cfg->mac_limit);
	return 0;
}

int
dp_bridge_del(struct dp *dp, unsigned id)
{
	struct bridge *bridge = id < DP_MAX_BRIDGES ? dp->bridge[id] : NULL;

	if (!bridge)
		return -ENOENT;
	if (!LIST_EMPTY(&bridge->ports))
		return -EBUSY;
	dp->bridge[id] = NULL;
	rcu_wait(&dp->env.rcu);
	rte_free(bridge->path.macs.buckets);
	rte_free(bridge);
	return 0;
}

uint32_t
dp_bridge_n_macs(const struct dp *dp, unsigned id)
{
	return id < DP_MAX_BRIDGES && dp->bridge[id] ? atomic_load(&dp->bridge[id]->path.macs.n_entries) : 0;
}

uint64_t
dp_bridge_n_moves(const struct dp *dp, unsigned id)
{
	return id < DP_MAX_BRIDGES && dp->bridge[id] ? atomic_load(&dp->bridge[id]->path.n_moves) : 0;
}

// A learned entry is gone: its port may learn another one.
static void
entry_gone_cb(void *arg, const struct mac_entry *entry)
{
	struct dp *dp = arg;

	if (!entry->is_static && entry->port < DP_MAX_PORTS && dp->port[entry->port])
		atomic_fetch_sub(&dp->port[entry->port]->path.n_macs, 1);
}

static unsigned
sweep(struct dp *dp, struct bridge *bridge, uint32_t n_buckets, uint32_t age_s, uint16_t port, bool with_static)
{
	return mac_table_sweep(&bridge->path.macs, &bridge->sweep_pos, n_buckets, age_s, port, with_static,
		entry_gone_cb, dp, now_s(dp));
}

void
bridge_forget_port(struct dp *dp, struct bridge *bridge, const struct port *port, bool with_static)
{
	(void)sweep(dp, bridge, bridge->path.macs.n_buckets, 0, port->path.id, with_static);
}

// Frames to its MACs are flooded then, and find them. A guest that resets its device all the time
// causes one walk a second: housekeeping does the rest of the event's work.
void
bridge_forget_lost_link(struct dp *dp, struct port *port)
{
	uint64_t now_ns = clock_now_ns(&dp->env.clock);
	struct bridge *bridge;

	if (!atomic_load(&port->has_lost_link) || (port->forgot_ns && now_ns - port->forgot_ns < FORGET_EVERY_NS))
		return;
	atomic_store(&port->has_lost_link, false);
	bridge = atomic_load(&port->path.n_macs) ? port->place.bridge : NULL;
	if (!bridge)
		return;
	port->forgot_ns = now_ns;
	bridge_forget_port(dp, bridge, port, false);
}

void
bridge_housekeeping(struct dp *dp, unsigned id)
{
	struct bridge *bridge = dp->bridge[id];
	uint32_t age_s = (uint32_t)(bridge->cfg.mac_age_ns / 1000000000);
	uint32_t n = RTE_MAX(bridge->path.macs.n_buckets / SWEEP_SHARE, SWEEP_MIN);
	uint64_t per_s;

	(void)sweep(dp, bridge, RTE_MIN(n, bridge->path.macs.n_buckets), age_s, MAC_TABLE_NO_PORT, false);
	if (mac_moves_are_many(&bridge->moves, atomic_load(&bridge->path.n_moves), bridge->cfg.mac_moves, &per_s,
		    clock_now_ns(&dp->env.clock)))
		event_queue_post(&dp->env.events,
			(struct dp_event){
				.type = DP_EVENT_MAC_MOVES, .port = DP_MAX_PORTS, .bridge = id, .value = per_s});
}

int
dp_mac_add(struct dp *dp, unsigned id, const struct mac *mac, uint16_t vlan, unsigned port, char err[DP_ERR_SIZE])
{
	struct bridge *bridge = id < DP_MAX_BRIDGES ? dp->bridge[id] : NULL;
	uint64_t value = frame_mac_value(mac);
	uint16_t old;
	int rc;

	if (!bridge || port >= DP_MAX_PORTS || !dp->port[port])
		return -ENOENT;
	if ((value & FRAME_MAC_MULTICAST) || !value) {
		dp_error(err, "mac: must be a unicast address");
		return -EINVAL;
	}
	if (vlan > RTVS_VLAN_MAX) {
		dp_error(err, "vlan: %u is out of range 0 to %u", vlan, RTVS_VLAN_MAX);
		return -EINVAL;
	}
	if (strcmp(dp->port[port]->cfg.bridge, bridge->cfg.name)) {
		dp_error(err, "port: '%s' is not on bridge '%s'", dp->port[port]->cfg.name, bridge->cfg.name);
		return -EINVAL;
	}
	rc = mac_table_add_static(&bridge->path.macs, value, vlan, (uint16_t)port, &old, now_s(dp));
	if (rc) {
		dp_error(err, "mac: the table of bridge '%s' is full", bridge->cfg.name);
		return rc;
	}
	if (old != MAC_TABLE_NO_PORT && dp->port[old])
		atomic_fetch_sub(&dp->port[old]->path.n_macs, 1);
	return 0;
}

int
dp_mac_del(struct dp *dp, unsigned id, const struct mac *mac, uint16_t vlan)
{
	struct bridge *bridge = id < DP_MAX_BRIDGES ? dp->bridge[id] : NULL;
	bool is_static;
	uint16_t port;
	int rc = bridge ? mac_table_del(&bridge->path.macs, frame_mac_value(mac), vlan, &port, &is_static) : -ENOENT;

	if (!rc && !is_static && dp->port[port])
		atomic_fetch_sub(&dp->port[port]->path.n_macs, 1);
	return rc;
}

unsigned
dp_mac_flush(struct dp *dp, unsigned id)
{
	struct bridge *bridge = id < DP_MAX_BRIDGES ? dp->bridge[id] : NULL;

	return bridge ? sweep(dp, bridge, bridge->path.macs.n_buckets, 0, MAC_TABLE_NO_PORT, false) : 0;
}

unsigned
dp_mac_list(const struct dp *dp, unsigned id, uint32_t *pos, struct dp_mac *ret_macs, unsigned max)
{
	const struct bridge *bridge = id < DP_MAX_BRIDGES ? dp->bridge[id] : NULL;
	unsigned done = 0;

	while (bridge && done < max) {
		struct mac_entry e[64];
		unsigned want = RTE_MIN(max - done, (unsigned)RTE_DIM(e));
		unsigned n = mac_table_list(&bridge->path.macs, pos, e, want);

		for (unsigned i = 0; i < n; i++, done++) {
			uint32_t age = now_s(dp) - e[i].seen_s;

			ret_macs[done] = (struct dp_mac){.vlan = e[i].vlan,
				.port = e[i].port,
				.is_static = e[i].is_static,
				.age_ns = age > INT32_MAX ? 0 : (uint64_t)age * 1000000000};
			for (unsigned k = 0; k < 6; k++)
				ret_macs[done].mac.b[k] = (uint8_t)(e[i].mac >> (40 - 8 * k));
		}
		if (n < want)
			break;
	}
	return done;
}
