// The tables of methods, which methods.c puts together.
#pragma once

#include "rtvs/rpc.h"

// One per noun; each ends with a row without name.
extern const struct rpc_method rpc_bridge_methods[];
extern const struct rpc_method rpc_capture_methods[];
extern const struct rpc_method rpc_config_methods[];
extern const struct rpc_method rpc_eswitch_methods[];
extern const struct rpc_method rpc_events_methods[];
extern const struct rpc_method rpc_flow_methods[];
extern const struct rpc_method rpc_mac_methods[];
extern const struct rpc_method rpc_nic_flow_methods[];
extern const struct rpc_method rpc_nic_methods[]; // of channels alone: channels.c
extern const struct rpc_method rpc_peer_methods[];
extern const struct rpc_method rpc_pool_methods[];
extern const struct rpc_method rpc_port_methods[];
extern const struct rpc_method rpc_probe_methods[];
extern const struct rpc_method rpc_rule_methods[];
extern const struct rpc_method rpc_stats_methods[];
extern const struct rpc_method rpc_system_methods[];
extern const struct rpc_method rpc_trace_methods[];
extern const struct rpc_method rpc_worker_methods[];
