// The parameters of bridge.add and bridge.set. The handlers decode by this table; a configuration
// is compared and dumped by it.
#include "bridge_params.h"

#define P(member, type, ...) RPC_PARAM(struct dp_bridge_cfg, member, type, __VA_ARGS__)
// clang-format off
#define ROWS \
	P(name, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1, .help = "name of the bridge"), \
	P(mac_limit, RPC_UINT, .min = 16, .max = 1048576, .def = "8192", .help = "entries of the MAC table, static ones included"), \
	RPC_PARAM_AS("mac_age", struct dp_bridge_cfg, mac_age_ns, RPC_TIME, .min = 1000000000, .max = UINT64_C(86400000000000), \
		.def = "5min", .help = "a learned MAC leaves after this time without a packet"), \
	P(mac_moves, RPC_UINT, .max = 1000000, .def = "100", \
		.help = "moves of MACs between its ports a second, above which the event mac.moves is sent, at most once a minute; 0: never")
// clang-format on
const struct rpc_param bridge_params[] = {ROWS};
_Static_assert(sizeof(bridge_params) == sizeof((const struct rpc_param[]){ROWS}), "the header has the count of rows");

json_t *
bridge_params_encode(const struct dp_bridge_cfg *cfg)
{
	return rpc_encode(bridge_params, BRIDGE_PARAMS_N, cfg);
}

bool
bridge_params_is_same(const struct dp_bridge_cfg *a, const struct dp_bridge_cfg *b)
{
	return rpc_is_same(bridge_params, BRIDGE_PARAMS_N, a, b);
}
