// The parameters of eswitch.add and eswitch.set. The handlers decode by this table; a configuration
// is compared and dumped by it.
#include "eswitch_params.h"

#define P(member, type, ...) RPC_PARAM(struct model_eswitch, member, type, __VA_ARGS__)
#define PAS(json_name, member, type, ...) RPC_PARAM_AS(json_name, struct model_eswitch, member, type, __VA_ARGS__)
#define FIXED "when the eswitch is added; delete it and add it again to change it"

// clang-format off
const struct rpc_param eswitch_params[ESWITCH_PARAMS_N] = {
	P(name, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1, .help = "name of the eswitch"),
	P(pf, RPC_NAME, .is_required = true, .min = 1, .max = RTVS_NAME_SIZE - 1, .fixed = FIXED,
		.help = "port of the physical function, on a bridge"),
	P(vfs, RPC_STR, .is_required = true, .min = 1, .max = MODEL_ESWITCH_VFS_SIZE - 1, .fixed = FIXED,
		.help = "ports of the virtual functions on the same bridge, 1 to 64, separated by commas; the first is VF 0"),
	P(uplink, RPC_NAME, .max = RTVS_NAME_SIZE - 1, .fixed = FIXED,
		.help = "port with type=eswitch on the same bridge, by which VFs leave in mode switchdev; empty: that mode is not permitted"),
	P(mode, RPC_ENUM, .names = model_eswitch_modes, .def = "legacy",
		.help = "legacy: VFs are ports of the bridge; switchdev: the guest's rules say where their packets go; the guest may change it"),
	P(control, RPC_STR, .is_required = true, .min = 1, .max = RTVS_PATH_SIZE - 1, .fixed = FIXED,
		.help = "path of the socket that the daemon makes for QEMU's channel, absolute"),
	P(socket_mode, RPC_OCTAL, .max = 0777, .def = "0660", .fixed = FIXED, .help = "permissions of the socket file"),
	P(socket_owner, RPC_STR, .max = RTVS_NAME_SIZE - 1, .fixed = FIXED, .help = "user who owns the socket file"),
	P(socket_group, RPC_STR, .max = RTVS_NAME_SIZE - 1, .fixed = FIXED, .help = "group of the socket file"),
	P(allowed_macs, RPC_STR, .max = MODEL_ESWITCH_MACS_SIZE - 1,
		.help = "MACs that the guest may give its VFs, up to 16 addresses or prefixes (\"52:54:00:aa:00:00/40\"), separated by commas; empty: it may not change MACs"),
	P(vlans, RPC_VLANS, .help = "VLANs that the guest may put its VFs into (\"10-19\"); empty: it may not change VLANs"),
	PAS("untagged", has_untagged, RPC_BOOL, .def = "false", .help = "true: into the bridge's untagged VLAN (0) as well"),
	PAS("max_rate", max_rate_bps, RPC_RATE, .max = DP_RATE_MAX, .def = "0",
		.help = "largest max_tx_rate of a VF; 0: the guest may not change it, or from 8kbit"),
	PAS("min_rate", min_rate_bps, RPC_RATE, .max = DP_RATE_MAX, .def = "0",
		.help = "largest sum of the VFs' min_tx_rate; 0: the guest may guarantee nothing, or from 8kbit"),
	PAS("deadlines", delegates_deadline, RPC_BOOL, .def = "false",
		.help = "true: the guest may set the deadline of its VFs' packets, as far as admission finds room"),
	P(max_rules, RPC_UINT, .max = DP_MAX_RULES, .def = "1024", .help = "switchdev: rules that the guest may have"),
	PAS("miss_rate", miss_pps, RPC_UINT, .max = MODEL_ESWITCH_MISS_MAX, .def = "20000",
		.help = "switchdev: packets a second of each VF, and of the uplink, that may go to the guest's kernel; 0: no limit"),
};
// clang-format on

bool
eswitch_params_is_settable(const struct model_eswitch *from, const struct model_eswitch *to)
{
	struct rpc_error ignored = {0};

	return rpc_check_fixed(eswitch_params, ESWITCH_PARAMS_N, from, to, &ignored) == 0;
}

bool
eswitch_params_is_same(const struct model_eswitch *a, const struct model_eswitch *b)
{
	return rpc_is_same(eswitch_params, ESWITCH_PARAMS_N, a, b);
}

json_t *
eswitch_params_encode(const struct model_eswitch *eswitch)
{
	return rpc_encode(eswitch_params, ESWITCH_PARAMS_N, eswitch);
}
