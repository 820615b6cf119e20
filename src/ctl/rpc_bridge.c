// Methods of the noun bridge: the parameter table and thin handlers over model.c.
#include "rpc_bridge.h"

#include "answer.h"
#include "ctl.h"
#include "methods.h"

#include <errno.h>
#include <string.h>

#define P(member, type, ...) RPC_PARAM(struct dp_bridge_cfg, member, type, __VA_ARGS__)
// clang-format off
static const struct rpc_param bridge_params[] = {
	P(name, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1, .help = "name of the bridge"),
	P(mac_limit, RPC_UINT, .min = 16, .max = 1048576, .def = "8192", .help = "entries of the MAC table, static ones included"),
	RPC_PARAM_AS("mac_age", struct dp_bridge_cfg, mac_age_ns, RPC_TIME, .min = 1000000000, .max = UINT64_C(86400000000000),
		.def = "5min", .help = "a learned MAC leaves after this time without a packet"),
	P(mac_moves, RPC_UINT, .max = 1000000, .def = "100",
		.help = "moves of MACs between its ports a second, above which mac.moves is said, at most once a minute; 0: never"),
};
// clang-format on
#define N_PARAMS (sizeof(bridge_params) / sizeof(bridge_params[0]))

json_t *
rpc_bridge_encode(const struct dp_bridge_cfg *cfg)
{
	return rpc_encode(bridge_params, N_PARAMS, cfg);
}

bool
rpc_bridge_is_same(const struct dp_bridge_cfg *a, const struct dp_bridge_cfg *b)
{
	return rpc_is_same(bridge_params, N_PARAMS, a, b);
}

static int
bridge_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	char text[DP_ERR_SIZE] = "";
	int rc = model_bridge_add(ctl->model, params, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
bridge_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	const struct dp_bridge_cfg *p = params;
	const struct model_bridge *bridge = model_bridge_find(ctl->model, p->name);
	struct dp_bridge_cfg cfg = bridge ? bridge->cfg : *p;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)ret_result;
	ctl_merge(bridge_params, N_PARAMS, present, params, &cfg);
	rc = model_bridge_set(ctl->model, &cfg, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
bridge_del(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	const struct dp_bridge_cfg *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_bridge_del(ctl->model, p->name, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static json_t *
bridge_json(const struct ctl *ctl, const struct model_bridge *bridge)
{
	json_t *object = json_object();
	json_t *names = json_array();

	for (unsigned i = 0; i < N_PARAMS; i++)
		(void)json_object_set_new(
			object, bridge_params[i].name, rpc_encode_value(&bridge_params[i], &bridge->cfg));
	(void)json_object_set_new(object, "n_macs", json_integer(dp_bridge_n_macs(ctl->dp, bridge->id)));
	(void)json_object_set_new(object, "n_static_macs", json_integer(bridge->n_macs));
	(void)json_object_set_new(
		object, "n_mac_moves", json_integer((json_int_t)dp_bridge_n_moves(ctl->dp, bridge->id)));
	for (unsigned i = 0; i < ctl->model->n_ports; i++)
		if (strcmp(ctl->model->ports[i]->cfg.bridge, bridge->cfg.name) == 0)
			(void)json_array_append_new(names, json_string(ctl->model->ports[i]->cfg.name));
	(void)json_object_set_new(object, "ports", names);
	return object;
}

static int
bridge_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct ctl *ctl = ctx;
	json_t *list = json_array();

	(void)params;
	(void)present;
	for (unsigned i = 0; i < ctl->model->n_bridges; i++)
		(void)json_array_append_new(list, bridge_json(ctl, ctl->model->bridges[i]));
	return ctl_answer(ret_result, list, err);
}

static int
bridge_show(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct ctl *ctl = ctx;
	const struct dp_bridge_cfg *p = params;
	const struct model_bridge *bridge = model_bridge_find(ctl->model, p->name);

	(void)present;
	if (!bridge)
		return ctl_refuse_name(err, -ENOENT, "bridge", p->name);
	return ctl_answer(ret_result, bridge_json(ctl, bridge), err);
}

#define CFG_SIZE sizeof(struct dp_bridge_cfg)
const struct rpc_method rpc_bridge_methods[] = {
	{"bridge.add", "Make a learning bridge.", "true", bridge_add, bridge_params, N_PARAMS, CFG_SIZE, RPC_CONFIG},
	{"bridge.set", "Change a bridge; what is not given stays.", "true", bridge_set, bridge_params, N_PARAMS,
		CFG_SIZE, RPC_CONFIG | RPC_CHANGE},
	{"bridge.del", "Remove a bridge without ports.", "true", bridge_del, bridge_params, 1, CFG_SIZE, RPC_CONFIG},
	{"bridge.list", "Show all bridges.", "List of what bridge.show returns.", bridge_list, NULL, 0, 0,
		RPC_READ_ONLY},
	{"bridge.show", "Show one bridge.",
		"Its parameters, how many MACs it knows and how many have moved between its ports, and their names.",
		bridge_show, bridge_params, 1, CFG_SIZE, RPC_READ_ONLY},
	{0},
};
