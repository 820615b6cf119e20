// What other files of the control plane need of system.init's parameter table.
#pragma once

#include "rtvs/dp.h"

#include <jansson.h>
#include <stdbool.h>

// Do they differ in nothing but what system.set can change?
bool rpc_system_is_settable(const struct dp_system_cfg *from, const struct dp_system_cfg *to);
// Do they agree in all that system.set can change?
bool rpc_system_is_same(const struct dp_system_cfg *a, const struct dp_system_cfg *b);
// The parameters of the system.init that makes it, all of them: defaults may come from a command line. New reference.
json_t *rpc_system_encode(const struct dp_system_cfg *cfg);
