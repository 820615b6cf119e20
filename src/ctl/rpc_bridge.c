// Methods of the noun bridge: thin handlers over model_bridge.c.
#include "answer.h"
#include "bridge_params.h"
#include "methods.h"
#include "plane.h"

#include <errno.h>
#include <string.h>

static int
bridge_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	char text[DP_ERR_SIZE] = "";
	int rc = model_bridge_add(plane->model, params, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
bridge_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct dp_bridge_cfg *p = params;
	const struct model_bridge *bridge = model_bridge_find(plane->model, p->name);
	struct dp_bridge_cfg cfg = bridge ? bridge->cfg : *p;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	ctl_merge(bridge_params, BRIDGE_PARAMS_N, present, params, &cfg);
	rc = model_bridge_set(plane->model, &cfg, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
bridge_del(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct dp_bridge_cfg *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_bridge_del(plane->model, p->name, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static json_t *
bridge_json(const struct plane *plane, const struct model_bridge *bridge)
{
	json_t *object = json_object();
	json_t *names = json_array();
	const struct model_port *port;
	unsigned pos = 0;

	for (unsigned i = 0; i < BRIDGE_PARAMS_N; i++)
		(void)json_object_set_new(
			object, bridge_params[i].name, rpc_encode_value(&bridge_params[i], &bridge->cfg));
	(void)json_object_set_new(object, "n_macs", json_integer(dp_bridge_n_macs(plane->dp, bridge->id)));
	(void)json_object_set_new(object, "n_static_macs", json_integer(bridge->n_macs));
	(void)json_object_set_new(
		object, "n_mac_moves", json_integer((json_int_t)dp_bridge_n_moves(plane->dp, bridge->id)));
	while ((port = model_port_next(plane->model, bridge->cfg.name, &pos)))
		(void)json_array_append_new(names, json_string(port->cfg.name));
	(void)json_object_set_new(object, "ports", names);
	return object;
}

static int
bridge_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	json_t *list = json_array();

	(void)params;
	(void)present;
	for (unsigned i = 0; i < plane->model->n_bridges; i++)
		(void)json_array_append_new(list, bridge_json(plane, plane->model->bridges[i]));
	return ctl_answer(ret_result, list, err);
}

static int
bridge_show(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct dp_bridge_cfg *p = params;
	const struct model_bridge *bridge = model_bridge_find(plane->model, p->name);

	(void)present;
	if (!bridge)
		return ctl_refuse_name(err, -ENOENT, "bridge", p->name);
	return ctl_answer(ret_result, bridge_json(plane, bridge), err);
}

#define CFG_SIZE sizeof(struct dp_bridge_cfg)
const struct rpc_method rpc_bridge_methods[] = {
	{"bridge.add", "Make a learning bridge.", "true", bridge_add, bridge_params, BRIDGE_PARAMS_N, CFG_SIZE,
		RPC_CONFIG},
	{"bridge.set", "Change a bridge; missing parameters stay.", "true", bridge_set, bridge_params, BRIDGE_PARAMS_N,
		CFG_SIZE, RPC_CONFIG | RPC_CHANGE},
	{"bridge.del", "Remove a bridge without ports.", "true", bridge_del, bridge_params, 1, CFG_SIZE, RPC_CONFIG},
	{"bridge.list", "Show all bridges.", "List of results of bridge.show.", bridge_list, NULL, 0, 0, RPC_READ_ONLY},
	{"bridge.show", "Show one bridge.",
		"Its parameters, the number of its MACs and of their moves between its ports, and the names of its "
		"ports.",
		bridge_show, bridge_params, 1, CFG_SIZE, RPC_READ_ONLY},
	{0},
};
