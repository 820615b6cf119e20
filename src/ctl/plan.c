// The difference between two models, executed. The order of its steps never needs an object that
// does not exist yet, nor removes one that is still used. Each step compares again with the present
// state. Steps ask no admission: the target was checked as a whole. The way there reserves at no
// step more than one of its ends does, since all ports release before any port claims. A failed
// step is undone by planning the way back to a copy taken before: one algorithm for both ways.
#include "plan.h"

#include "admit.h"
#include "bridge_params.h"
#include "eswitch_params.h"
#include "pool_params.h"
#include "port_params.h"
#include "rtvs/log.h"
#include "system_params.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct plan {
	struct model *m;
	const struct model *target;
	bool is_undo; // goes on after errors: as much as possible comes back
	plan_refused_fn *refused; // goes on after errors, which it is told; NULL: not so
	void *refused_arg;
	struct plan_result *result;
	char *err;
	int rc; // of the first failure
};

// Counts one executed step. True: go on.
static bool
stepped(struct plan *p, const char *noun, const char *name, int rc)
{
	if (rc >= 0) {
		p->result->n_changes++;
		return true;
	}
	if (p->refused) {
		p->refused(p->refused_arg, noun, name, p->err[0] ? p->err : strerror(-rc));
		p->err[0] = '\0';
		return true;
	}
	if (p->is_undo) {
		log_about(LOG_LEVEL_ERROR, LOG_ABOUT(NULL, {strcmp(noun, "bridge") ? "PORT" : "BRIDGE", name}),
			"%s %s: could not be brought back: %s", noun, name, p->err);
		return true;
	}
	p->rc = rc;
	p->result->noun = noun;
	(void)snprintf(p->result->name, sizeof(p->result->name), "%s", name);
	return false;
}

// The values that tunnels through a port rely on.
static bool
is_uplink_changing(const struct dp_port_cfg *from, const struct dp_port_cfg *to)
{
	return memcmp(&from->address, &to->address, sizeof(to->address)) != 0 ||
		memcmp(&from->gateway, &to->gateway, sizeof(to->gateway)) != 0 || from->vlan != to->vlan ||
		to->mtu < from->mtu;
}

// Ports that leave, and ports that are created anew: they differ in a value that is fixed for a
// port's life, or their uplink does.
static bool
is_port_going(const struct plan *p, const char *name)
{
	const struct model_port *from = model_port_find(p->m, name);
	const struct model_port *to = model_port_find(p->target, name);
	const struct model_port *uplink, *uplink_to;

	if (!to || (from && !port_params_is_settable(&from->cfg, &to->cfg)))
		return true;
	if (!to->cfg.uplink[0])
		return false;
	uplink = model_port_find(p->m, to->cfg.uplink);
	uplink_to = model_port_find(p->target, to->cfg.uplink);
	return is_port_going(p, to->cfg.uplink) || (uplink && is_uplink_changing(&uplink->cfg, &uplink_to->cfg));
}

static bool
apply_system(struct plan *p)
{
	const struct dp_system_cfg *to = &p->target->system;

	if (p->m->log_level != p->target->log_level)
		model_log_set(p->m, p->target->log_level);
	if (system_params_is_same(&p->m->system, to))
		return true;
	return stepped(p, "system", "", model_system_set(p->m, to, p->err));
}

static bool
remove_macs(struct plan *p)
{
	for (unsigned i = 0; i < p->m->n_bridges; i++) {
		struct model_bridge *bridge = p->m->bridges[i];
		const struct model_bridge *to = model_bridge_find(p->target, bridge->cfg.name);
		for (unsigned k = bridge->n_macs; k-- > 0;) {
			const struct model_mac mac = bridge->macs[k];
			const struct model_mac *same = to ? model_mac_find(to, &mac.mac, mac.vlan) : NULL;
			if (same && strcmp(same->port, mac.port) == 0)
				continue;
			if (!stepped(p, "mac", mac.port,
				    model_mac_del(p->m, bridge->cfg.name, &mac.mac, mac.vlan, p->err)))
				return false;
		}
	}
	return true;
}

// Reserves no more than the port did, nor than it will.
static void
release(struct dp_port_cfg *cfg, const struct dp_port_cfg *to)
{
	uint64_t burst_bytes;

	if (!cfg->address.len && to->mtu < cfg->mtu)
		cfg->mtu = to->mtu;
	burst_bytes = dp_bucket_bytes(to->burst_bytes, cfg->mtu, true);
	if (burst_bytes < cfg->burst_bytes)
		cfg->burst_bytes = burst_bytes;
	if (to->min_rate_bps < cfg->min_rate_bps)
		cfg->min_rate_bps = to->min_rate_bps;
	if (admit_bound_ns(to) > admit_bound_ns(cfg))
		cfg->deadline_ns = to->deadline_ns;
	if (!to->link_rate_bps || (cfg->link_rate_bps && to->link_rate_bps > cfg->link_rate_bps))
		cfg->link_rate_bps = to->link_rate_bps;
	cfg->force |= to->force;
}

// Remaining ports release mirrors that change, bridges that they leave, and values that other ports
// may have by then.
static bool
detach_ports(struct plan *p)
{
	for (unsigned i = 0; i < p->m->n_ports; i++) {
		struct dp_port_cfg cfg = p->m->ports[i]->cfg;
		const struct model_port *to = model_port_find(p->target, cfg.name);
		if (!to || is_port_going(p, cfg.name))
			continue;
		release(&cfg, &to->cfg);
		if (cfg.mirror_to[0] && strcmp(cfg.mirror_to, to->cfg.mirror_to) != 0) {
			cfg.mirror_to[0] = '\0';
			cfg.mirror = 0;
		}
		if (strcmp(cfg.bridge, to->cfg.bridge) != 0)
			cfg.bridge[0] = '\0';
		if (!port_params_is_same(&cfg, &p->m->ports[i]->cfg) &&
			!stepped(p, "port", cfg.name, model_port_set(p->m, &cfg, p->err)))
			return false;
	}
	return true;
}

static bool
remove_ports(struct plan *p, unsigned rank)
{
	char name[RTVS_NAME_SIZE];

	for (unsigned i = p->m->n_ports; i-- > 0;) {
		const struct dp_port_cfg *cfg = &p->m->ports[i]->cfg;
		memcpy(name, cfg->name, sizeof(name));
		if (model_port_rank(cfg) != rank || !is_port_going(p, name))
			continue;
		if (!stepped(p, "port", name, model_port_del(p->m, name, p->err)))
			return false;
	}
	return true;
}

static bool
remove_bridges(struct plan *p)
{
	char name[RTVS_NAME_SIZE];

	for (unsigned i = p->m->n_bridges; i-- > 0;) {
		memcpy(name, p->m->bridges[i]->cfg.name, sizeof(name));
		if (!model_bridge_find(p->target, name) &&
			!stepped(p, "bridge", name, model_bridge_del(p->m, name, p->err)))
			return false;
	}
	return true;
}

static bool
remove_pools(struct plan *p)
{
	char name[RTVS_NAME_SIZE];

	for (unsigned i = p->m->n_pools; i-- > 0;) {
		memcpy(name, p->m->pools[i]->name, sizeof(name));
		if (!model_pool_find(p->target, name) && !stepped(p, "pool", name, model_pool_del(p->m, name, p->err)))
			return false;
	}
	return true;
}

// Do all ports of the eswitch stay, with their devices?
static bool
has_staying_ports(const struct plan *p, const struct model_eswitch *eswitch)
{
	char port[RTVS_NAME_SIZE];

	if (is_port_going(p, eswitch->pf) || (eswitch->uplink[0] && is_port_going(p, eswitch->uplink)))
		return false;
	for (unsigned pos = 0; model_eswitch_next(eswitch, &pos, port);)
		if (is_port_going(p, port))
			return false;
	return true;
}

// Those that go, and those that are created anew.
static bool
remove_eswitches(struct plan *p)
{
	char name[RTVS_NAME_SIZE];

	for (unsigned i = p->m->n_eswitches; i-- > 0;) {
		const struct model_eswitch *from = p->m->eswitches[i];
		const struct model_eswitch *to = model_eswitch_find(p->target, from->name);

		memcpy(name, from->name, sizeof(name));
		if (to && eswitch_params_is_settable(from, to) && has_staying_ports(p, from))
			continue;
		if (!stepped(p, "eswitch", name, model_eswitch_del(p->m, name, p->err)))
			return false;
	}
	return true;
}

static bool
apply_eswitches(struct plan *p)
{
	for (unsigned i = 0; i < p->target->n_eswitches; i++) {
		const struct model_eswitch *to = p->target->eswitches[i], *from = model_eswitch_find(p->m, to->name);
		int rc;

		if (from && eswitch_params_is_same(from, to))
			continue;
		rc = from ? model_eswitch_set(p->m, to, p->err) : model_eswitch_add(p->m, to, p->err);
		if (!stepped(p, "eswitch", to->name, rc))
			return false;
	}
	return true;
}

static bool
apply_pools(struct plan *p)
{
	for (unsigned i = 0; i < p->target->n_pools; i++) {
		const struct model_pool *to = p->target->pools[i], *pool = model_pool_find(p->m, to->name);
		int rc;

		if (pool && pool_params_is_same(pool, to))
			continue;
		rc = pool ? model_pool_set(p->m, to, p->err) : model_pool_add(p->m, to, p->err);
		if (!stepped(p, "pool", to->name, rc))
			return false;
	}
	return true;
}

static bool
apply_bridges(struct plan *p)
{
	for (unsigned i = 0; i < p->target->n_bridges; i++) {
		const struct dp_bridge_cfg *to = &p->target->bridges[i]->cfg;
		const struct model_bridge *bridge = model_bridge_find(p->m, to->name);
		int rc;
		if (!bridge)
			rc = model_bridge_add(p->m, to, p->err);
		else if (!bridge_params_is_same(&bridge->cfg, to))
			rc = model_bridge_set(p->m, to, p->err);
		else
			continue;
		if (!stepped(p, "bridge", to->name, rc))
			return false;
	}
	return true;
}

static bool
is_switched(const struct plan *p, const char *port)
{
	int vf;
	const struct model_eswitch *eswitch = model_eswitch_of(p->target, port, &vf);

	return eswitch && eswitch->mode == MODEL_ESWITCH_SWITCHDEV;
}

// One that has rules, or is of an eswitch in switchdev mode, is down until it has them, or that:
// nothing passes before.
static int
add_port(struct plan *p, const struct model_port *to)
{
	struct dp_port_cfg cfg = to->cfg;

	cfg.admin_up &= !to->n_rules && !is_switched(p, cfg.name);
	return model_port_add(p->m, &cfg, p->err);
}

static bool
apply_rules(struct plan *p)
{
	for (unsigned i = 0; i < p->target->n_ports; i++) {
		const struct model_port *to = p->target->ports[i], *port = model_port_find(p->m, to->cfg.name);

		if (port && !model_rule_lists_are_same(port, to) &&
			!stepped(p, "rule", to->cfg.name,
				model_rule_set_all(p->m, to->cfg.name, to->rules, to->n_rules, p->err)))
			return false;
	}
	return true;
}

static bool
apply_ports(struct plan *p, unsigned rank)
{
	for (unsigned i = 0; i < p->target->n_ports; i++) {
		const struct dp_port_cfg *to = &p->target->ports[i]->cfg;
		const struct model_port *port = model_port_find(p->m, to->name);
		int rc;
		if (model_port_rank(to) != rank)
			continue;
		if (!port)
			rc = add_port(p, p->target->ports[i]);
		else if (!port_params_is_same(&port->cfg, to))
			rc = model_port_set(p->m, to, p->err);
		else
			continue;
		if (!stepped(p, "port", to->name, rc))
			return false;
	}
	return true;
}

static bool
add_macs(struct plan *p)
{
	for (unsigned i = 0; i < p->target->n_bridges; i++) {
		const struct model_bridge *to = p->target->bridges[i];
		for (unsigned k = 0; k < to->n_macs; k++) {
			const struct model_bridge *bridge = model_bridge_find(p->m, to->cfg.name);
			const struct model_mac *mac = &to->macs[k];
			if (bridge && model_mac_find(bridge, &mac->mac, mac->vlan))
				continue;
			if (!stepped(p, "mac", mac->port, model_mac_add(p->m, to->cfg.name, mac, p->err)))
				return false;
		}
	}
	return true;
}

static int
execute(struct plan *p)
{
	(void)(apply_system(p) && remove_eswitches(p) && remove_macs(p) && detach_ports(p) && remove_ports(p, 1) &&
		remove_ports(p, 0) && remove_bridges(p) && remove_pools(p) && apply_bridges(p) && apply_pools(p) &&
		apply_ports(p, 0) && apply_ports(p, 1) && apply_rules(p) && apply_eswitches(p) && apply_ports(p, 0) &&
		apply_ports(p, 1) && add_macs(p));
	return p->rc;
}

int
plan_apply(struct model *m, const struct model *target, struct plan_result *ret_result, char err[DP_ERR_SIZE])
{
	struct model *before = model_clone(m);
	struct plan plan = {.m = m, .target = target, .result = ret_result, .err = err};
	int rc = -ENOMEM;

	*ret_result = (struct plan_result){0};
	if (!before) {
		(void)snprintf(err, DP_ERR_SIZE, "out of memory");
		return rc;
	}
	m->asks = MODEL_ASKS_NOTHING;
	rc = execute(&plan);
	if (rc < 0 && !m->is_starting) {
		char undo_err[DP_ERR_SIZE] = "";
		struct plan_result undone = {0};
		struct plan undo = {.m = m, .target = before, .is_undo = true, .result = &undone, .err = undo_err};
		(void)execute(&undo);
	}
	m->asks = MODEL_ASKS_ALL;
	model_destroy(before);
	return rc;
}

void
plan_follow(struct model *m, const struct model *target, plan_refused_fn *refused, void *arg)
{
	struct plan_result result = {0};
	char err[DP_ERR_SIZE] = "";
	struct plan plan = {
		.m = m, .target = target, .result = &result, .err = err, .refused = refused, .refused_arg = arg};

	m->asks = MODEL_ASKS_ADMISSION_LATER;
	(void)execute(&plan);
	m->asks = MODEL_ASKS_ALL;
}
