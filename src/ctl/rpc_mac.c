// Methods of the noun mac: static entries, which are configuration, and the learned ones, which are
// not.
#include "answer.h"
#include "mac_params.h"
#include "methods.h"
#include "plane.h"
#include "rtvs/units.h"

#include <errno.h>
#include <stdio.h>

#define N(table) (sizeof(table) / sizeof((table)[0]))

static int
mac_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct mac_params *p = params;
	struct model_mac mac = {.mac = p->mac, .vlan = (uint16_t)p->vlan};
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)present;
	(void)ret_result;
	(void)snprintf(mac.port, sizeof(mac.port), "%s", p->port);
	rc = model_mac_add(plane->model, p->bridge, &mac, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
mac_del(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct mac_params *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_mac_del(plane->model, p->bridge, &p->mac, (uint16_t)p->vlan, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
mac_flush(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct mac_params *p = params;
	const struct model_bridge *bridge = model_bridge_find(plane->model, p->bridge);

	(void)present;
	if (!bridge)
		return ctl_refuse_name(err, -ENOENT, "bridge", p->bridge);
	return ctl_answer(ret_result, json_pack("{s:i}", "flushed", (int)dp_mac_flush(plane->dp, bridge->id)), err);
}

static json_t *
mac_json(const struct plane *plane, const struct dp_mac *mac)
{
	const struct model_port *port = model_port_at(plane->model, mac->port);
	char addr[UNITS_TEXT_SIZE], age[UNITS_TEXT_SIZE];

	return json_pack("{s:s, s:i, s:s, s:b, s:s}", "mac", units_format_mac(&mac->mac, addr), "vlan", mac->vlan,
		"port", port ? port->cfg.name : "", "static", mac->is_static, "age",
		units_format_time(mac->age_ns, age));
}

static int
mac_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct mac_params *p = params;
	const struct model_bridge *bridge = model_bridge_find(plane->model, p->bridge);
	uint32_t pos = p->pos, left = p->max;
	struct dp_mac macs[64];
	json_t *list = json_array();
	bool is_end = false;

	(void)present;
	if (!bridge) {
		json_decref(list);
		return ctl_refuse_name(err, -ENOENT, "bridge", p->bridge);
	}
	while (left > 0 && !is_end) {
		unsigned want = left < N(macs) ? left : (unsigned)N(macs);
		unsigned n = dp_mac_list(plane->dp, bridge->id, &pos, macs, want);
		for (unsigned i = 0; i < n; i++)
			(void)json_array_append_new(list, mac_json(plane, &macs[i]));
		is_end = n < want;
		left -= n;
	}
	return ctl_answer(ret_result,
		json_pack("{s:o, s:o}", "macs", list, "next", is_end ? json_null() : json_integer(pos)), err);
}

#define SIZE sizeof(struct mac_params)
const struct rpc_method rpc_mac_methods[] = {
	{"mac.add", "Make a static entry, which is never learned on another port and never aged.", "true", mac_add,
		mac_params_add, N(mac_params_add), SIZE, RPC_CONFIG},
	{"mac.del", "Remove a static entry.", "true", mac_del, mac_params_add, 3, SIZE, RPC_CONFIG},
	{"mac.flush", "Forget all learned entries of a bridge.", "{flushed}: the number of removed entries.", mac_flush,
		mac_params_add, 1, SIZE, 0},
	{"mac.list", "Show the MAC table of a bridge.",
		"{macs, next}: entries, and the position to continue at (null: that was all).", mac_list,
		mac_params_list, N(mac_params_list), SIZE, RPC_READ_ONLY},
	{0},
};
