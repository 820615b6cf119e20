// The parameters of pool.add and pool.set. The handlers decode by this table; a configuration is
// compared and dumped by it.
#include "pool_params.h"

// clang-format off
const struct rpc_param pool_params[POOL_PARAMS_N] = {
	RPC_PARAM(struct model_pool, name, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .max = RTVS_NAME_SIZE - 1,
		.help = "name of the pool"),
	RPC_PARAM(struct model_pool, devices, RPC_STR, .is_required = true, .min = 1, .max = MODEL_POOL_SIZE - 1,
		.help = "vDPA devices by DPDK's names, separated by commas (\"0000:03:00.2,0000:03:00.3\")"),
};
// clang-format on

json_t *
pool_params_encode(const struct model_pool *pool)
{
	return rpc_encode(pool_params, POOL_PARAMS_N, pool);
}

bool
pool_params_is_same(const struct model_pool *a, const struct model_pool *b)
{
	return rpc_is_same(pool_params, POOL_PARAMS_N, a, b);
}
