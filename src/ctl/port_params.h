// The parameters of a port.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdbool.h>

#define PORT_PARAMS_RUN_DIR "/run/rtvswitch" // of the sockets of ports without socket=
#define PORT_PARAMS_N_ADD 52
#define PORT_PARAMS_N_SET 36
extern const struct rpc_param port_params_add[PORT_PARAMS_N_ADD]; // the name stands first
extern const struct rpc_param port_params_set[PORT_PARAMS_N_SET];

// Could port.set make one of the other?
bool port_params_is_settable(const struct dp_port_cfg *from, const struct dp_port_cfg *to);
bool port_params_is_same(const struct dp_port_cfg *a, const struct dp_port_cfg *b);
// The parameters of the port.add that makes it. New reference.
json_t *port_params_encode(const struct dp_port_cfg *cfg);
