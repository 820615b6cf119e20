// Named pools of vDPA devices. A port takes a free device when it is added, and gives it back when
// it goes: a device is taken as long as some port has it.
#include "model.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "pool:" // of a port's vdpa

struct model_pool *
model_pool_find(const struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->n_pools; i++)
		if (!strcmp(m->pools[i]->name, name))
			return m->pools[i];
	return NULL;
}

bool
model_pool_next(const struct model_pool *pool, unsigned *pos, char ret_device[RTVS_DEVARGS_SIZE])
{
	size_t len = strcspn(pool->devices + *pos, ",");

	if (!pool->devices[*pos])
		return false;
	(void)snprintf(ret_device, RTVS_DEVARGS_SIZE, "%.*s", (int)len, pool->devices + *pos);
	*pos += (unsigned)len + (pool->devices[*pos + len] == ',');
	return true;
}

// Without the arguments of its driver.
static bool
is_device(const char *devargs, const char *name)
{
	size_t len = strcspn(devargs, ",");

	return len == strlen(name) && !strncmp(devargs, name, len);
}

const struct model_port *
model_pool_port(const struct model *m, const char *device)
{
	for (unsigned i = 0; i < m->n_ports; i++)
		if (is_device(m->ports[i]->cfg.device, device))
			return m->ports[i];
	return NULL;
}

// Appends to err what an operator could take instead.
static void
append_free(const struct model *m, char err[DP_ERR_SIZE])
{
	char device[RTVS_DEVARGS_SIZE];
	const char *before = "; free in pools: ";
	size_t len = strlen(err);

	for (unsigned i = 0; i < m->n_pools; i++)
		for (unsigned pos = 0; model_pool_next(m->pools[i], &pos, device);) {
			if (model_pool_port(m, device))
				continue;
			len += (size_t)snprintf(
				err + len, DP_ERR_SIZE - len, "%s%s (%s)", before, device, m->pools[i]->name);
			if (len >= DP_ERR_SIZE)
				return;
			before = ", ";
		}
	if (*before == ';')
		(void)snprintf(err + len, DP_ERR_SIZE - len, "; no pool has a free device");
}

static int
take_named(const struct model *m, const char *devargs, char ret_device[RTVS_DEVARGS_SIZE], char err[DP_ERR_SIZE])
{
	char name[RTVS_DEVARGS_SIZE];
	const struct model_port *port;

	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(devargs, ","), devargs);
	if (!name[0])
		return model_fail(-EINVAL, err, "vdpa: must name a device, like 0000:03:00.2, or pool:NAME");
	port = model_pool_port(m, name);
	if (port) {
		(void)model_fail(0, err, "vdpa: device %.64s belongs to port %s", name, port->cfg.name);
		append_free(m, err);
		return -EEXIST;
	}
	(void)snprintf(ret_device, RTVS_DEVARGS_SIZE, "%s", devargs);
	return 0;
}

int
model_pool_take(const struct model *m, const char *vdpa, char ret_device[RTVS_DEVARGS_SIZE], char err[DP_ERR_SIZE])
{
	char device[RTVS_DEVARGS_SIZE];
	const struct model_pool *pool;

	ret_device[0] = '\0';
	if (!vdpa[0])
		return 0;
	if (strncmp(vdpa, PREFIX, strlen(PREFIX)))
		return take_named(m, vdpa, ret_device, err);
	pool = model_pool_find(m, vdpa + strlen(PREFIX));
	if (!pool)
		(void)model_fail(0, err, "vdpa: there is no pool '%.80s'; pool.add makes one", vdpa + strlen(PREFIX));
	for (unsigned pos = 0; pool && model_pool_next(pool, &pos, device);)
		if (!model_pool_port(m, device)) {
			memcpy(ret_device, device, sizeof(device));
			return 0;
		}
	if (pool)
		(void)model_fail(
			0, err, "vdpa: each device of pool '%s' has a port (%.128s)", pool->name, pool->devices);
	append_free(m, err);
	return pool ? -ENOSPC : -ENOENT;
}

static bool
is_name(const char *device)
{
	size_t len = strlen(device);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)device[i]) && !strchr("_.:-", device[i]))
			return false;
	return len > 0 && len < MODEL_POOL_NAME_SIZE;
}

static int
check_devices(const struct model *m, const struct model_pool *cfg, char err[DP_ERR_SIZE])
{
	char device[RTVS_DEVARGS_SIZE], other[RTVS_DEVARGS_SIZE];
	unsigned n = 0;

	for (unsigned pos = 0; model_pool_next(cfg, &pos, device); n++) {
		if (!is_name(device))
			return model_fail(-EINVAL, err,
				"devices: '%.80s' is no name of 1 to %u letters, digits and _.:-", device,
				MODEL_POOL_NAME_SIZE - 1);
		for (unsigned k = pos; model_pool_next(cfg, &k, other);)
			if (!strcmp(device, other))
				return model_fail(-EINVAL, err, "devices: %s is named twice", device);
		for (unsigned i = 0; m->asks != MODEL_ASKS_NOTHING && i < m->n_pools; i++)
			for (unsigned k = 0;
				strcmp(m->pools[i]->name, cfg->name) && model_pool_next(m->pools[i], &k, other);)
				if (!strcmp(device, other))
					return model_fail(
						-EEXIST, err, "devices: %s is in pool %s", device, m->pools[i]->name);
	}
	if (!n || n > MODEL_POOL_DEVICES)
		return model_fail(-EINVAL, err, "devices: %u names are out of range 1 to %u", n, MODEL_POOL_DEVICES);
	return 0;
}

int
model_pool_add(struct model *m, const struct model_pool *cfg, char err[DP_ERR_SIZE])
{
	struct model_pool *pool;
	unsigned pos = m->n_pools;
	int rc;

	if (model_pool_find(m, cfg->name))
		return model_fail(-EEXIST, err, "pool %s exists already", cfg->name);
	if (m->n_pools == MODEL_MAX_POOLS)
		return model_fail(-ENOSPC, err, "there are %u pools already, the limit", MODEL_MAX_POOLS);
	rc = check_devices(m, cfg, err);
	if (rc < 0)
		return rc;
	pool = malloc(sizeof(*pool));
	if (!pool)
		return model_fail(-ENOMEM, err, "out of memory");
	*pool = *cfg;
	for (; pos > 0 && strverscmp(m->pools[pos - 1]->name, cfg->name) > 0; pos--)
		m->pools[pos] = m->pools[pos - 1];
	m->pools[pos] = pool;
	m->n_pools++;
	m->n_changes++;
	return 0;
}

int
model_pool_set(struct model *m, const struct model_pool *cfg, char err[DP_ERR_SIZE])
{
	struct model_pool *pool = model_pool_find(m, cfg->name);
	int rc;

	if (!pool)
		return model_fail(-ENOENT, err, "pool %s does not exist", cfg->name);
	rc = check_devices(m, cfg, err);
	if (rc < 0)
		return rc;
	*pool = *cfg;
	m->n_changes++;
	return 0;
}

bool
model_pool_has(const struct model_pool *pool, const struct model_port *port)
{
	return !strncmp(port->cfg.vdpa, PREFIX, strlen(PREFIX)) && !strcmp(port->cfg.vdpa + strlen(PREFIX), pool->name);
}

int
model_pool_del(struct model *m, const char *name, char err[DP_ERR_SIZE])
{
	struct model_pool *pool = model_pool_find(m, name);
	unsigned pos = 0;

	if (!pool)
		return model_fail(-ENOENT, err, "pool %s does not exist", name);
	for (unsigned i = 0; i < m->n_ports; i++)
		if (model_pool_has(pool, m->ports[i]))
			return model_fail(-EBUSY, err, "port %s has a device of pool %s; remove it first",
				m->ports[i]->cfg.name, name);
	while (m->pools[pos] != pool)
		pos++;
	m->n_pools--;
	memmove(&m->pools[pos], &m->pools[pos + 1], (m->n_pools - pos) * sizeof(m->pools[0]));
	m->n_changes++;
	free(pool);
	return 0;
}
