// What other files of the control plane need of the parameter table of static MACs.
#pragma once

#include "model.h"

#include <jansson.h>

// The parameters of the mac.add that makes it. New reference.
json_t *rpc_mac_encode(const char *bridge, const struct model_mac *mac);
