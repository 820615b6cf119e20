// The parameters of a bridge.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <jansson.h>

#define BRIDGE_PARAMS_N 4
extern const struct rpc_param bridge_params[BRIDGE_PARAMS_N]; // the name stands first

// The parameters of the bridge.add that makes it. New reference.
json_t *bridge_params_encode(const struct dp_bridge_cfg *cfg);
bool bridge_params_is_same(const struct dp_bridge_cfg *a, const struct dp_bridge_cfg *b);
