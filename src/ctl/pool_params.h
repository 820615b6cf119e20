// The parameters of a pool of vDPA devices.
#pragma once

#include "model.h"
#include "rtvs/rpc.h"

#include <jansson.h>

#define POOL_PARAMS_N 2
extern const struct rpc_param pool_params[POOL_PARAMS_N]; // the name stands first

// The parameters of the pool.add that makes it. New reference.
json_t *pool_params_encode(const struct model_pool *pool);
bool pool_params_is_same(const struct model_pool *a, const struct model_pool *b);
