// The difference between two models, executed. Its steps are in an order that never needs what is not there yet nor
// removes what is still used; each step compares again with what is there at that moment.
// A failed step is undone by planning the way back to a copy taken before: one algorithm for both ways.
#include "plan.h"

#include "rpc_bridge.h"
#include "rpc_port.h"
#include "rpc_system.h"
#include "rtvs/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct plan {
	struct model *m;
	const struct model *target;
	bool is_undo; // goes on after errors: as much as possible comes back
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

// Ports that leave, and those that come back different in what is fixed for a port's life.
static bool
is_port_going(const struct plan *p, const char *name)
{
	const struct model_port *from = model_port_find(p->m, name);
	const struct model_port *to = model_port_find(p->target, name);

	return !to || (from && !rpc_port_is_settable(&from->cfg, &to->cfg)) ||
		(to->cfg.uplink[0] && is_port_going(p, to->cfg.uplink));
}

static bool
apply_system(struct plan *p)
{
	const struct dp_system_cfg *to = &p->target->system;

	if (p->m->log_level != p->target->log_level)
		model_log_set(p->m, p->target->log_level);
	if (rpc_system_is_same(&p->m->system, to))
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

// Ports that stay let go of mirrors that change and of bridges that leave.
static bool
detach_ports(struct plan *p)
{
	for (unsigned i = 0; i < p->m->n_ports; i++) {
		struct dp_port_cfg cfg = p->m->ports[i]->cfg;
		const struct model_port *to = model_port_find(p->target, cfg.name);
		bool is_changed = false;
		if (!to || is_port_going(p, cfg.name))
			continue;
		if (cfg.mirror_to[0] && strcmp(cfg.mirror_to, to->cfg.mirror_to) != 0) {
			cfg.mirror_to[0] = '\0';
			cfg.mirror = 0;
			is_changed = true;
		}
		if (cfg.bridge[0] && !model_bridge_find(p->target, cfg.bridge)) {
			cfg.bridge[0] = '\0';
			is_changed = true;
		}
		if (is_changed && !stepped(p, "port", cfg.name, model_port_set(p->m, &cfg, p->err)))
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
apply_bridges(struct plan *p)
{
	for (unsigned i = 0; i < p->target->n_bridges; i++) {
		const struct dp_bridge_cfg *to = &p->target->bridges[i]->cfg;
		const struct model_bridge *bridge = model_bridge_find(p->m, to->name);
		int rc;
		if (!bridge)
			rc = model_bridge_add(p->m, to, p->err);
		else if (!rpc_bridge_is_same(&bridge->cfg, to))
			rc = model_bridge_set(p->m, to, p->err);
		else
			continue;
		if (!stepped(p, "bridge", to->name, rc))
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
			rc = model_port_add(p->m, to, p->err);
		else if (!rpc_port_is_same(&port->cfg, to))
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
	(void)(apply_system(p) && remove_macs(p) && detach_ports(p) && remove_ports(p, 1) && remove_ports(p, 0) &&
		remove_bridges(p) && apply_bridges(p) && apply_ports(p, 0) && apply_ports(p, 1) && add_macs(p));
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
	rc = execute(&plan);
	if (rc < 0) {
		char undo_err[DP_ERR_SIZE] = "";
		struct plan_result undone = {0};
		struct plan undo = {.m = m, .target = before, .is_undo = true, .result = &undone, .err = undo_err};
		(void)execute(&undo);
	}
	model_destroy(before);
	return rc;
}
