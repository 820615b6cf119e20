// Methods of the noun pool: thin handlers over model_pool.c.
#include "answer.h"
#include "methods.h"
#include "plane.h"
#include "pool_params.h"

#include <errno.h>
#include <string.h>

static int
pool_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	char text[DP_ERR_SIZE] = "";
	int rc = model_pool_add(plane->model, params, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
pool_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct model_pool *p = params;
	const struct model_pool *pool = model_pool_find(plane->model, p->name);
	struct model_pool cfg = pool ? *pool : *p;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	ctl_merge(pool_params, POOL_PARAMS_N, present, params, &cfg);
	rc = model_pool_set(plane->model, &cfg, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
pool_del(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct model_pool *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_pool_del(plane->model, p->name, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static json_t *
pool_json(const struct model *m, const struct model_pool *pool)
{
	json_t *devices = json_array(), *is_free = json_array(), *ports = json_array();
	char device[RTVS_DEVARGS_SIZE];

	for (unsigned pos = 0; model_pool_next(pool, &pos, device);) {
		(void)json_array_append_new(devices, json_string(device));
		if (!model_pool_port(m, device))
			(void)json_array_append_new(is_free, json_string(device));
	}
	for (unsigned i = 0; i < m->n_ports; i++)
		if (model_pool_has(pool, m->ports[i]))
			(void)json_array_append_new(ports, json_string(m->ports[i]->cfg.name));
	return json_pack(
		"{s:s, s:o, s:o, s:o}", "name", pool->name, "devices", devices, "free", is_free, "ports", ports);
}

static int
pool_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	json_t *list = json_array();

	(void)params;
	(void)present;
	for (unsigned i = 0; i < plane->model->n_pools; i++)
		(void)json_array_append_new(list, pool_json(plane->model, plane->model->pools[i]));
	return ctl_answer(ret_result, list, err);
}

static int
pool_show(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct model_pool *p = params;
	const struct model_pool *pool = model_pool_find(plane->model, p->name);

	(void)present;
	if (!pool)
		return ctl_refuse_name(err, -ENOENT, "pool", p->name);
	return ctl_answer(ret_result, pool_json(plane->model, pool), err);
}

#define CFG_SIZE sizeof(struct model_pool)
const struct rpc_method rpc_pool_methods[] = {
	{"pool.add", "Name a pool of vDPA devices, of which ports with vdpa=pool:NAME take one each.", "true", pool_add,
		pool_params, POOL_PARAMS_N, CFG_SIZE, RPC_CONFIG},
	{"pool.set", "Change a pool's devices. Ports keep the devices that they have.", "true", pool_set, pool_params,
		POOL_PARAMS_N, CFG_SIZE, RPC_CONFIG | RPC_CHANGE},
	{"pool.del", "Remove a pool of whose devices no port has one.", "true", pool_del, pool_params, 1, CFG_SIZE,
		RPC_CONFIG},
	{"pool.list", "Show all pools.", "List of results of pool.show.", pool_list, NULL, 0, 0, RPC_READ_ONLY},
	{"pool.show", "Show one pool.",
		"Its name and devices, those of them that are free, and the names of the ports that took one.",
		pool_show, pool_params, 1, CFG_SIZE, RPC_READ_ONLY},
	{0},
};
