// Ports are made and changed here, by the control thread; port_end.c removes them. Differences
// between types are behind port_type; workers see a view.
#include "port.h"

#include "bridge.h"
#include "dp_state.h"
#include "kept.h"
#include "path/schedule.h"
#include "port_check.h"
#include "port_end.h"
#include "port_type.h"
#include "registry.h"
#include "rtvs/log.h"
#include "state_ids.h"
#include "traces.h"
#include "underlay.h"
#include "views.h"

#include <rte_errno.h>
#include <rte_malloc.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define X(arg, id, name, traits, about) [DP_PORT_##id] = &port_##name##_type,
static const struct port_type *const port_types[PORT_N_TYPES] = {PORT_TYPES(X, )};
#undef X

static bool
has_guarantee(const struct dp_port_cfg *cfg)
{
	return cfg->deadline_ns || cfg->min_rate_bps;
}

int
port_make_schedule(struct port *port)
{
	if (port->schedule)
		return 0;
	registry_touch(port);
	return schedule_create(&port->schedule, clock_now_ns(&port->dp->env.clock));
}

// The port whose device sends what is for this one. NULL: a tunnel has no uplink.
static struct port *
egress_of(struct port *port)
{
	struct port *uplink = registry_uplink(port);

	if (!port_has(port->cfg.type, PORT_IS_TUNNEL))
		return port;
	return uplink && uplink->cfg.address.len ? uplink : NULL;
}

// An egress that a port with a guarantee may send to is scheduled for its life, and tells what
// became of these packets.
static int
keep_sender(struct port *out, const struct port *from)
{
	if (!out || !has_guarantee(&from->cfg))
		return 0;
	return port_make_schedule(out);
}

static int
keep_senders(struct port *out, const struct bridge *bridge)
{
	const struct port *from;
	int rc = 0;

	if (bridge)
		LIST_FOREACH (from, &bridge->ports, place.of_bridge)
			rc = rc ? rc : keep_sender(out, from);
	return rc;
}

// Packets to and from the port have new ways: it came, or moved, or has a first guarantee or
// address.
static int
prepare_ways(struct port *port)
{
	const struct bridge *bridge = port->place.bridge;
	int rc = keep_senders(egress_of(port), bridge);
	struct port *other;

	if (bridge && has_guarantee(&port->cfg))
		LIST_FOREACH (other, &bridge->ports, place.of_bridge)
			rc = rc ? rc : keep_sender(egress_of(other), port);
	if (port->cfg.address.len)
		LIST_FOREACH (other, &port->place.name->tunnels, place.tunnels)
			rc = rc ? rc : keep_senders(port, other->place.bridge);
	return rc;
}

static bool
has_new_ways(const struct dp_port_cfg *old, const struct dp_port_cfg *cfg)
{
	return strcmp(old->bridge, cfg->bridge) != 0 || (has_guarantee(cfg) && !has_guarantee(old)) ||
		(cfg->address.len && !old->address.len);
}

// Its tunnels have their headers and sizes from it.
static bool
is_other_uplink(const struct dp_port_cfg *old, const struct dp_port_cfg *cfg)
{
	return cfg->mtu != old->mtu || cfg->vlan != old->vlan ||
		memcmp(&cfg->address, &old->address, sizeof(cfg->address)) != 0 ||
		memcmp(&cfg->gateway, &old->gateway, sizeof(cfg->gateway)) != 0;
}

// A change of the port, as workers see it. has_new_ways: see prepare_ways.
static int
publish(struct port *port, bool has_new_ways)
{
	int rc = traces_prepare(port);

	if (!rc && port->cfg.address.len)
		rc = underlay_create(port);
	if (!rc && port->cfg.link_rate_bps && egress_of(port) == port)
		rc = port_make_schedule(port);
	if (!rc && has_new_ways)
		rc = prepare_ways(port);
	if (!rc)
		rc = views_publish(port->dp);
	if (rc)
		return rc;
	underlay_follow(port);
	return views_publish(port->dp);
}

static int
port_alloc(struct dp *dp, const struct dp_port_cfg *cfg, uint16_t id, struct port **ret_port)
{
	struct port *port = rte_zmalloc("port", sizeof(*port), RTE_CACHE_LINE_SIZE);
	int rc;

	if (!port)
		return -ENOMEM;
	port->path.id = id;
	port->dp = dp;
	port->path.device.pool = dp->env.pool;
	port->type = port_types[cfg->type];
	port->path.device.io = port->type->io;
	port->cfg = *cfg;
	port->path.device.n_txq = 1;
	port->path.answer = PORT_NO_ANSWER;
	port->path.owner = (uint16_t)(id % dp->env.n_workers);
	port->path.serial = ++dp->n_ports_made;
	rc = mailbox_init(&port->path.handoff, PORT_HANDOFF_SIZE);
	if (rc) {
		rte_free(port);
		return rc;
	}
	*ret_port = port;
	return 0;
}

static int
start(struct port *port, char err[DP_ERR_SIZE])
{
	int rc = port->type->start(port, err);

	if (!rc)
		port_life_step(&port->life, PORT_STARTED);
	return rc;
}

static void
stop(struct port *port)
{
	port->type->stop(port);
	port_life_step(&port->life, PORT_STOPPED);
}

void
port_start_all(struct dp *dp)
{
	char err[DP_ERR_SIZE];

	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct port *port = dp->port[i];

		if (port && port->cfg.admin_up && port->life != PORT_STARTED && start(port, err))
			log_about(LOG_LEVEL_ERROR, LOG_ABOUT(NULL, {"PORT", port->cfg.name}), "port %s: %s",
				port->cfg.name, err);
	}
}

int
dp_port_add(struct dp *dp, const struct dp_port_cfg *cfg, unsigned *ret_id, char err[DP_ERR_SIZE])
{
	struct port *port = NULL;
	uint16_t id;
	int rc = port_check(dp, cfg, err);

	if (rc)
		return rc;
	if (registry_port(dp, cfg->name)) {
		dp_error(err, "name: there is already a port '%s'", cfg->name);
		return -EEXIST;
	}
	(void)port_end_now(dp, cfg->name);
	id = state_ids_next(dp, cfg->name);
	if (id == DP_MAX_PORTS && port_end_now(dp, NULL))
		id = state_ids_next(dp, cfg->name);
	if (id == DP_MAX_PORTS) {
		dp_error(err, "there are already %u ports", DP_MAX_PORTS);
		return -ENOSPC;
	}
	rc = port_alloc(dp, cfg, id, &port);
	if (rc) {
		dp_error(err, "no memory for a port");
		return rc;
	}
	rc = port->type->open(port, err);
	if (rc && port_end_now(dp, NULL)) // one that was removed may have had the device
		rc = port->type->open(port, err);
	if (rc)
		goto err_free;
	kept_restore(dp, port);
	rc = registry_add(port);
	if (rc) {
		dp_error(err, "no memory for a port");
		goto err_close;
	}
	rc = publish(port, true);
	if (rc)
		dp_error(err, "no memory for a port");
	if (!rc && cfg->admin_up && !dp->cfg.is_standby)
		rc = start(port, err);
	if (rc)
		goto err_del;
	state_ids_got(dp, cfg->name);
	*ret_id = id;
	return 0;
err_del:
	registry_hide(port);
	(void)views_publish(dp);
	registry_del(port);
err_close:
	port->type->close(port);
	port_life_step(&port->life, PORT_GONE);
err_free:
	port_end_free(port);
	return rc;
}

int
dp_port_move(struct dp *dp, unsigned id, uint64_t for_ns)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	int rc;

	if (!port)
		return -ENOENT;
	rc = port->type->move ? port->type->move(port, for_ns) : -EOPNOTSUPP;
	if (rc || port->schedule)
		return rc;
	rc = port_make_schedule(port); // where packets wait for the guest
	return rc ? rc : views_publish(dp);
}

int
dp_port_set(struct dp *dp, unsigned id, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct dp_port_cfg old;
	int rc;

	if (!port)
		return -ENOENT;
	old = port->cfg;
	assert(!strcmp(cfg->name, old.name) && cfg->type == old.type);
	rc = port_check(dp, cfg, err);
	if (rc)
		return rc;
	if (port->type->configure) {
		rc = port->type->configure(port, cfg, err);
		if (rc)
			return rc;
	}
	port->cfg = *cfg;
	if (cfg->admin_up && !old.admin_up) {
		rc = start(port, err);
		if (rc)
			goto err_cfg;
	}
	rc = registry_set(port);
	if (!rc && is_other_uplink(&old, cfg))
		registry_touch_tunnels(port);
	if (!rc)
		rc = publish(port, has_new_ways(&old, cfg));
	if (rc) {
		dp_error(err, "no memory for the new configuration");
		if (cfg->admin_up && !old.admin_up)
			stop(port);
		goto err_cfg;
	}
	// A new limit grants nothing for the past, and debt at the old one is forgiven, since no
	// worker charges by that any more.
	if (cfg->max_rate_bps != old.max_rate_bps || cfg->burst_bytes != old.burst_bytes)
		__atomic_store_n(
			&port->path.paid.max_rate, clock_now_ns(&dp->env.clock) * RATE_LIMIT_PARTS, __ATOMIC_RELAXED);
	if (!cfg->admin_up && old.admin_up)
		stop(port);
	if (strcmp(old.bridge, cfg->bridge) && old.bridge[0])
		bridge_forget_port(dp, registry_bridge(dp, old.bridge), port, true);
	else if (old.vlan != cfg->vlan && old.bridge[0])
		bridge_forget_port(dp, registry_bridge(dp, old.bridge), port, false);
	return 0;
err_cfg:
	if (port->type->configure) {
		char ignored[DP_ERR_SIZE];

		(void)port->type->configure(port, &old, ignored);
	}
	port->cfg = old;
	(void)registry_set(port);
	return rc;
}

int
dp_port_set_answer(struct dp *dp, unsigned id, uint64_t deadline_ns, uint8_t dscp, uint8_t excess)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	if (!port)
		return -ENOENT;
	if (deadline_ns > DP_DEADLINE_MAX_NS)
		return -EINVAL;
	atomic_store_explicit(&port->path.answer,
		port_answer_word(&(struct port_answer){.deadline_ns = deadline_ns, .dscp = dscp, .excess = excess}),
		memory_order_relaxed);
	rcu_wait(&dp->env.rcu); // see dp_flow_seq
	return 0;
}
