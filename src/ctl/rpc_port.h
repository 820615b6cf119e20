// What other files of the control plane need of the port's parameter tables.
#pragma once

#include "rtvs/dp.h"

#include <jansson.h>
#include <stdbool.h>

// Could port.set make one of the other?
bool rpc_port_is_settable(const struct dp_port_cfg *from, const struct dp_port_cfg *to);
bool rpc_port_is_same(const struct dp_port_cfg *a, const struct dp_port_cfg *b);
// The parameters of the port.add that makes it. New reference.
json_t *rpc_port_encode(const struct dp_port_cfg *cfg);
