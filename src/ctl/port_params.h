// The parameters of a port.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdbool.h>

#define PORT_PARAMS_RUN_DIR "/run/rtvswitch" // of the sockets of ports without socket=
extern const struct rpc_param port_params[]; // the name stands first
extern const unsigned port_params_n;

// May a port whose packets a vDPA device moves have the parameter as cfg says it? The others say
// what the switch does with packets; their default values say nothing.
bool port_params_is_of_device(const struct rpc_param *param, const struct dp_port_cfg *cfg);
// Could port.set make one of the other?
bool port_params_is_settable(const struct dp_port_cfg *from, const struct dp_port_cfg *to);
bool port_params_is_same(const struct dp_port_cfg *a, const struct dp_port_cfg *b);
// The parameters of the port.add that makes it. New reference.
json_t *port_params_encode(const struct dp_port_cfg *cfg);
