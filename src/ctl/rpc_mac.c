// Methods of the noun mac: static entries, which are configuration, and the learned ones, which are not.
#include "rpc_mac.h"

#include "answer.h"
#include "ctl.h"
#include "methods.h"
#include "rtvs/units.h"

#include <errno.h>
#include <stdio.h>

#define MAC_MAX_LIST 10000 // entries in one answer

struct mac_params {
	char bridge[RTVS_NAME_SIZE], port[RTVS_NAME_SIZE];
	struct mac mac;
	uint32_t vlan, pos, max;
};

#define P(member, type, ...) RPC_PARAM(struct mac_params, member, type, __VA_ARGS__)
#define BRIDGE P(bridge, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .help = "name of the bridge")
#define MAC P(mac, RPC_MAC, .is_required = true, .help = "unicast address")
#define VLAN P(vlan, RPC_UINT, .max = RTVS_VLAN_MAX, .def = "0", .help = "VLAN of the entry; 0: the untagged one")

static const struct rpc_param add_params[] = {
	BRIDGE,
	MAC,
	VLAN,
	P(port, RPC_NAME, .is_required = true, .min = 1, .help = "port of that bridge behind which the address is"),
};
static const struct rpc_param list_params[] = {
	BRIDGE,
	P(pos, RPC_UINT, .def = "0", .help = "where to go on: `next` of the answer before"),
	P(max, RPC_UINT, .min = 1, .max = MAC_MAX_LIST, .def = "1000", .help = "entries at most in this answer"),
};
#define N(table) (sizeof(table) / sizeof((table)[0]))

json_t *
rpc_mac_encode(const char *bridge, const struct model_mac *mac)
{
	struct mac_params p = {.mac = mac->mac, .vlan = mac->vlan};

	(void)snprintf(p.bridge, sizeof(p.bridge), "%s", bridge);
	(void)snprintf(p.port, sizeof(p.port), "%s", mac->port);
	return rpc_encode(add_params, N(add_params), &p);
}

static int
mac_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	const struct mac_params *p = params;
	struct model_mac mac = {.mac = p->mac, .vlan = (uint16_t)p->vlan};
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)present;
	(void)ret_result;
	(void)snprintf(mac.port, sizeof(mac.port), "%s", p->port);
	rc = model_mac_add(ctl->model, p->bridge, &mac, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
mac_del(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	const struct mac_params *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_mac_del(ctl->model, p->bridge, &p->mac, (uint16_t)p->vlan, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
mac_flush(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct ctl *ctl = ctx;
	const struct mac_params *p = params;
	const struct model_bridge *bridge = model_bridge_find(ctl->model, p->bridge);

	(void)present;
	if (!bridge)
		return ctl_refuse_name(err, -ENOENT, "bridge", p->bridge);
	return ctl_answer(ret_result, json_pack("{s:i}", "flushed", (int)dp_mac_flush(ctl->dp, bridge->id)), err);
}

static json_t *
mac_json(const struct ctl *ctl, const struct dp_mac *mac)
{
	const struct model_port *port = mac->port < DP_MAX_PORTS ? ctl->model->port_by_id[mac->port] : NULL;
	char addr[UNITS_TEXT_SIZE], age[UNITS_TEXT_SIZE];

	return json_pack("{s:s, s:i, s:s, s:b, s:s}", "mac", units_format_mac(&mac->mac, addr), "vlan", mac->vlan,
		"port", port ? port->cfg.name : "", "static", mac->is_static, "age",
		units_format_time(mac->age_ns, age));
}

static int
mac_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct ctl *ctl = ctx;
	const struct mac_params *p = params;
	const struct model_bridge *bridge = model_bridge_find(ctl->model, p->bridge);
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
		unsigned n = dp_mac_list(ctl->dp, bridge->id, &pos, macs, want);
		for (unsigned i = 0; i < n; i++)
			(void)json_array_append_new(list, mac_json(ctl, &macs[i]));
		is_end = n < want;
		left -= n;
	}
	return ctl_answer(ret_result,
		json_pack("{s:o, s:o}", "macs", list, "next", is_end ? json_null() : json_integer(pos)), err);
}

#define SIZE sizeof(struct mac_params)
const struct rpc_method rpc_mac_methods[] = {
	{"mac.add", "Make a static entry: never learned elsewhere, never aged.", "true", mac_add, add_params,
		N(add_params), SIZE, RPC_CONFIG},
	{"mac.del", "Remove a static entry.", "true", mac_del, add_params, 3, SIZE, RPC_CONFIG},
	{"mac.flush", "Forget all learned entries of a bridge.", "{flushed}: how many went.", mac_flush, add_params, 1,
		SIZE, 0},
	{"mac.list", "Show the MAC table of a bridge.",
		"{macs, next}: entries, and where to go on (null: that was all).", mac_list, list_params,
		N(list_params), SIZE, RPC_READ_ONLY},
	{0},
};
