// The operator's configuration, shared by the files of its nouns: model_bridge.c, model_port.c,
// model_mac.c, model_pool.c, model_rule.c, model_eswitch.c. Handlers (rpc_*.c) and plan.c change a
// model through their functions only. Each checks names and combinations, then configures the
// datapath, then remembers.
// Invariant: the datapath and a model that is not dry hold the same objects. Every name that an
// object refers to exists, except that of a mirror's target.
#include "model.h"

#include "rtvs/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
model_fail(int rc, char err[DP_ERR_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err, DP_ERR_SIZE, fmt, ap);
	va_end(ap);
	return rc;
}

void
model_tell(struct model *m, const char *what, const char *name)
{
	m->n_changes++;
	if (m->changed)
		m->changed(m->changed_arg, what, name);
}

void
model_port_free(struct model_port *port)
{
	free(port->rules);
	free(port);
}

static struct model_port *
model_port_copy(const struct model_port *from)
{
	struct model_port *port = malloc(sizeof(*port));

	if (!port)
		return NULL;
	*port = *from;
	port->rules = calloc(from->n_rules + 1u, sizeof(*from->rules));
	if (!port->rules) {
		free(port);
		return NULL;
	}
	if (from->n_rules > 0)
		memcpy(port->rules, from->rules, from->n_rules * sizeof(*from->rules));
	return port;
}

struct model *
model_create(const struct dp_system_cfg *system)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->system = *system;
	m->log_level = LOG_LEVEL_INFO;
	return m;
}

void
model_destroy(struct model *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->n_ports; i++)
		model_port_free(m->ports[i]);
	for (unsigned i = 0; i < m->n_bridges; i++) {
		free(m->bridges[i]->macs);
		free(m->bridges[i]);
	}
	for (unsigned i = 0; i < m->n_pools; i++)
		free(m->pools[i]);
	for (unsigned i = 0; i < m->n_eswitches; i++)
		free(m->eswitches[i]);
	free(m);
}

struct model *
model_clone(const struct model *model)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->system = model->system;
	m->log_level = model->log_level;
	for (; m->n_ports < model->n_ports; m->n_ports++) {
		struct model_port *port = model_port_copy(model->ports[m->n_ports]);
		if (!port)
			goto err_model;
		m->ports[m->n_ports] = m->port_by_id[port->id] = port;
	}
	for (; m->n_bridges < model->n_bridges; m->n_bridges++) {
		const struct model_bridge *from = model->bridges[m->n_bridges];
		struct model_bridge *bridge = calloc(1, sizeof(*bridge));
		if (!bridge)
			goto err_model;
		*bridge = *from;
		bridge->macs = calloc(from->n_macs + 1u, sizeof(*from->macs));
		if (!bridge->macs) {
			free(bridge);
			goto err_model;
		}
		if (from->n_macs > 0)
			memcpy(bridge->macs, from->macs, from->n_macs * sizeof(*from->macs));
		m->bridges[m->n_bridges] = m->bridge_by_id[bridge->id] = bridge;
	}
	for (; m->n_pools < model->n_pools; m->n_pools++) {
		m->pools[m->n_pools] = malloc(sizeof(*m->pools[0]));
		if (!m->pools[m->n_pools])
			goto err_model;
		*m->pools[m->n_pools] = *model->pools[m->n_pools];
	}
	for (; m->n_eswitches < model->n_eswitches; m->n_eswitches++) {
		m->eswitches[m->n_eswitches] = malloc(sizeof(*m->eswitches[0]));
		if (!m->eswitches[m->n_eswitches])
			goto err_model;
		*m->eswitches[m->n_eswitches] = *model->eswitches[m->n_eswitches];
	}
	return m;

err_model:
	model_destroy(m);
	return NULL;
}

struct model_bridge *
model_bridge_find(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->n_bridges; i++)
		if (strcmp(m->bridges[i]->cfg.name, name) == 0)
			return m->bridges[i];
	return NULL;
}

struct model_port *
model_port_find(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->n_ports; i++)
		if (strcmp(m->ports[i]->cfg.name, name) == 0)
			return m->ports[i];
	return NULL;
}

unsigned
model_free_id(void *const *by_id)
{
	unsigned id = 0;

	while (by_id[id])
		id++;
	return id;
}

int
model_system_set(struct model *m, const struct dp_system_cfg *cfg, char err[DP_ERR_SIZE])
{
	int rc;

	if (!m->dp) {
		m->system = *cfg;
		return 0;
	}
	rc = dp_system_set(m->dp, cfg, err);
	if (rc < 0)
		return rc;
	m->system = *cfg;
	model_tell(m, "system.set", "");
	return 0;
}

void
model_log_set(struct model *m, uint32_t level)
{
	m->n_changes++;
	m->log_level = level;
	if (m->dp)
		log_set_level((enum log_level)level);
}
