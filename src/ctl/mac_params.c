// The parameters of mac.add and its siblings. The handlers decode by these tables; a configuration
// is dumped by them.
#include "mac_params.h"

#include <stdio.h>

#define P(member, type, ...) RPC_PARAM(struct mac_params, member, type, __VA_ARGS__)
#define BRIDGE P(bridge, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .help = "name of the bridge")
#define MAC P(mac, RPC_MAC, .is_required = true, .help = "unicast address")
#define VLAN P(vlan, RPC_UINT, .max = RTVS_VLAN_MAX, .def = "0", .help = "VLAN of the entry; 0: the untagged one")
// clang-format off
#define ADD_PARAMS \
	BRIDGE, \
	MAC, \
	VLAN, \
	P(port, RPC_NAME, .is_required = true, .min = 1, .help = "port of that bridge behind which the address is")
#define LIST_PARAMS \
	BRIDGE, \
	P(pos, RPC_UINT, .def = "0", .help = "position to continue at: `next` of the previous answer"), \
	P(max, RPC_UINT, .min = 1, .max = MAC_PARAMS_MAX_LIST, .def = "1000", .help = "most entries in this answer")
// clang-format on

const struct rpc_param mac_params_add[] = {ADD_PARAMS};
const struct rpc_param mac_params_list[] = {LIST_PARAMS};
_Static_assert(sizeof(mac_params_add) == sizeof((const struct rpc_param[]){ADD_PARAMS}) &&
		sizeof(mac_params_list) == sizeof((const struct rpc_param[]){LIST_PARAMS}),
	"the header has the counts of rows");

json_t *
mac_params_encode(const char *bridge, const struct model_mac *mac)
{
	struct mac_params p = {.mac = mac->mac, .vlan = mac->vlan};

	(void)snprintf(p.bridge, sizeof(p.bridge), "%s", bridge);
	(void)snprintf(p.port, sizeof(p.port), "%s", mac->port);
	return rpc_encode(mac_params_add, MAC_PARAMS_N_ADD, &p);
}
