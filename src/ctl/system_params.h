// The parameters of system.init, and those that system.set takes, too.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdbool.h>

#define SYSTEM_PARAMS_N_INIT 10
#define SYSTEM_PARAMS_N_SET 3
// those of system.set stand last
extern const struct rpc_param system_params_init[SYSTEM_PARAMS_N_INIT];
extern const struct rpc_param system_params_set[SYSTEM_PARAMS_N_SET];

// Do they differ in nothing but what system.set can change?
bool system_params_is_settable(const struct dp_system_cfg *from, const struct dp_system_cfg *to);
// Do they agree in all that system.set can change?
bool system_params_is_same(const struct dp_system_cfg *a, const struct dp_system_cfg *b);
// The parameters of the system.init that makes it, all of them: defaults may come from a command
// line. New reference.
json_t *system_params_encode(const struct dp_system_cfg *cfg);
