// What other files of the control plane need of the bridge's parameter table.
#pragma once

#include "rtvs/dp.h"

#include <jansson.h>

// The parameters of the bridge.add that makes it. New reference.
json_t *rpc_bridge_encode(const struct dp_bridge_cfg *cfg);
bool rpc_bridge_is_same(const struct dp_bridge_cfg *a, const struct dp_bridge_cfg *b);
