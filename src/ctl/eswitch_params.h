// The parameters of an eswitch.
#pragma once

#include "model.h"
#include "rtvs/rpc.h"

#include <jansson.h>
#include <stdbool.h>

#define ESWITCH_PARAMS_N 17
extern const struct rpc_param eswitch_params[ESWITCH_PARAMS_N]; // the name stands first

// Could eswitch.set make one of the other?
bool eswitch_params_is_settable(const struct model_eswitch *from, const struct model_eswitch *to);
bool eswitch_params_is_same(const struct model_eswitch *a, const struct model_eswitch *b);
// The parameters of the eswitch.add that makes it. New reference.
json_t *eswitch_params_encode(const struct model_eswitch *eswitch);
