// The answers of a handler: a result, or an error with its reason.
#pragma once

#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdint.h>

// Turns a function's return value into an answer: -EINVAL blames a parameter, the rest a state.
// Returns -1.
int ctl_refuse(struct rpc_error *err, int rc, const char *text);
// "NOUN NAME does not exist" and the like, with the name in the data. Returns -1.
int ctl_refuse_name(struct rpc_error *err, int rc, const char *noun, const char *name);
// Stores the result. Returns 0, or -1 when it is NULL: out of memory.
int ctl_answer(json_t **ret_result, json_t *result, struct rpc_error *err);
// Copies the members that the caller gave.
void ctl_merge(const struct rpc_param *params, unsigned n_params, uint64_t present, const void *in, void *inout);
