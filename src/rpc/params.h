// Functions of params.c that the dispatcher needs beyond rtvs/rpc.h.
#pragma once

#include "rtvs/rpc.h"

// Refuses keys of the object that no parameter has. method: for the message; NULL: leave it out.
int params_check_names(
	const struct rpc_param *params, unsigned n_params, const char *method, const json_t *in, struct rpc_error *err);
// How many rows the method's table has.
unsigned params_count(const struct rpc_method *method);
// The one whose value is the object's kind; NULL: there is none.
const struct rpc_param *params_kind(const struct rpc_param *params, unsigned n_params);
// The limits in force, the type's own where the table has none. max UINT64_MAX: none.
void params_limits(const struct rpc_param *param, uint64_t *ret_min, uint64_t *ret_max);
