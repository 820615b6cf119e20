// The parameters of entries of a MAC table.
#pragma once

#include "model.h"
#include "rtvs/rpc.h"

#include <jansson.h>

#define MAC_PARAMS_MAX_LIST 10000 // entries in one answer

struct mac_params {
	char bridge[RTVS_NAME_SIZE], port[RTVS_NAME_SIZE];
	struct mac mac;
	uint32_t vlan, pos, max;
};

#define MAC_PARAMS_N_ADD 4
#define MAC_PARAMS_N_LIST 3
extern const struct rpc_param mac_params_add[MAC_PARAMS_N_ADD]; // bridge, mac and vlan stand first
extern const struct rpc_param mac_params_list[MAC_PARAMS_N_LIST];

// The parameters of the mac.add that makes it. New reference.
json_t *mac_params_encode(const char *bridge, const struct model_mac *mac);
