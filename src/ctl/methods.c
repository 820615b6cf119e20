// The one list of all methods. This file refers to all handlers; those that need the list find it in
// struct ctl, so no handler calls this file.
#include "methods.h"

#include "rtvs/ctl.h"

const struct rpc_api *
ctl_api(void)
{
	static const struct rpc_method *const tables[] = {
		rpc_system_methods,
		rpc_trace_methods,
		rpc_worker_methods,
		rpc_bridge_methods,
		rpc_peer_methods,
		rpc_port_methods,
		rpc_probe_methods,
		rpc_mac_methods,
		rpc_flow_methods,
		rpc_stats_methods,
		rpc_capture_methods,
		rpc_config_methods,
		rpc_events_methods,
		NULL,
	};
	static const struct rpc_api api = {tables};

	return &api;
}
