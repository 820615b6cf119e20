// Bridges of a model.
#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

unsigned
model_bridge_n_ports(const struct model *m, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_ports; i++)
		n += strcmp(m->ports[i]->cfg.bridge, name) == 0;
	return n;
}

int
model_bridge_add(struct model *m, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct model_bridge *bridge;
	unsigned pos = m->n_bridges;
	int rc;

	if (model_bridge_find(m, cfg->name))
		return model_fail(-EEXIST, err, "bridge %s exists already", cfg->name);
	if (m->n_bridges == DP_MAX_BRIDGES)
		return model_fail(-ENOSPC, err, "there are %u bridges already, the limit", DP_MAX_BRIDGES);
	bridge = calloc(1, sizeof(*bridge));
	if (!bridge)
		return model_fail(-ENOMEM, err, "out of memory");
	bridge->cfg = *cfg;
	bridge->id = model_free_id((void *const *)m->bridge_by_id);
	rc = m->dp ? dp_bridge_add(m->dp, cfg, &bridge->id, err) : 0;
	if (rc < 0) {
		free(bridge);
		return rc;
	}
	for (; pos > 0 && strverscmp(m->bridges[pos - 1]->cfg.name, cfg->name) > 0; pos--)
		m->bridges[pos] = m->bridges[pos - 1];
	m->bridges[pos] = m->bridge_by_id[bridge->id] = bridge;
	m->n_bridges++;
	model_tell(m, "bridge.add", cfg->name);
	return 0;
}

int
model_bridge_set(struct model *m, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct model_bridge *bridge = model_bridge_find(m, cfg->name);
	int rc;

	if (!bridge)
		return model_fail(-ENOENT, err, "bridge %s does not exist", cfg->name);
	rc = m->dp ? dp_bridge_set(m->dp, bridge->id, cfg, err) : 0;
	if (rc < 0)
		return rc;
	bridge->cfg = *cfg;
	model_tell(m, "bridge.set", cfg->name);
	return 0;
}

int
model_bridge_del(struct model *m, const char *name, char err[DP_ERR_SIZE])
{
	struct model_bridge *bridge = model_bridge_find(m, name);
	unsigned n, pos = 0;
	int rc;

	if (!bridge)
		return model_fail(-ENOENT, err, "bridge %s does not exist", name);
	n = model_bridge_n_ports(m, name);
	if (n > 0)
		return model_fail(-EBUSY, err, "bridge %s still has %u ports; remove or move them first", name, n);
	rc = m->dp ? dp_bridge_del(m->dp, bridge->id) : 0;
	if (rc < 0)
		return model_fail(rc, err, "bridge %s: %s", name, strerror(-rc));
	while (m->bridges[pos] != bridge)
		pos++;
	m->n_bridges--;
	memmove(&m->bridges[pos], &m->bridges[pos + 1], (m->n_bridges - pos) * sizeof(m->bridges[0]));
	m->bridge_by_id[bridge->id] = NULL;
	model_tell(m, "bridge.del", bridge->cfg.name);
	free(bridge->macs);
	free(bridge);
	return 0;
}
