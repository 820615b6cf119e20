// The one list of all methods, and what each noun's handlers are given: a part of struct ctl, or
// all of it where the functions of the noun's own file want that (0). No handler looks into struct
// ctl: scripts/check-deps refuses its header there.
#include "methods.h"

#include "ctl.h"

#include <stddef.h>

const struct rpc_api *
ctl_api(void)
{
	static const struct rpc_noun nouns[] = {
		{rpc_system_methods, offsetof(struct ctl, system)},
		{rpc_trace_methods, offsetof(struct ctl, trace)},
		{rpc_worker_methods, offsetof(struct ctl, plane)},
		{rpc_bridge_methods, offsetof(struct ctl, plane)},
		{rpc_peer_methods, 0},
		{rpc_pool_methods, offsetof(struct ctl, plane)},
		{rpc_port_methods, offsetof(struct ctl, plane)},
		{rpc_eswitch_methods, offsetof(struct ctl, channels)},
		{rpc_probe_methods, 0},
		{rpc_mac_methods, offsetof(struct ctl, plane)},
		{rpc_rule_methods, offsetof(struct ctl, plane)},
		{rpc_flow_methods, offsetof(struct ctl, plane)},
		{rpc_stats_methods, offsetof(struct ctl, plane)},
		{rpc_capture_methods, 0},
		{rpc_config_methods, offsetof(struct ctl, config)},
		{rpc_events_methods, offsetof(struct ctl, server)},
		{0},
	};
	static const struct rpc_api api = {nouns};

	return &api;
}
