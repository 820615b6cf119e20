// The parameters of rules of a port.
#pragma once

#include "rtvs/flow_text.h"
#include "rtvs/rpc.h"
#include "rtvs/types.h"

#include <jansson.h>

#define RULE_PARAMS_MAX_LIST 4096 // rules in one answer

struct rule_params {
	char port[RTVS_NAME_SIZE];
	char rule[FLOW_TEXT_SIZE];
	uint32_t pos, max;
};

#define RULE_PARAMS_SET_SIZE 61440

struct rule_set_params {
	char port[RTVS_NAME_SIZE];
	char rules[RULE_PARAMS_SET_SIZE];
};

#define RULE_PARAMS_N_ADD 2
#define RULE_PARAMS_N_LIST 3
extern const struct rpc_param rule_params_add[RULE_PARAMS_N_ADD]; // port stands first
extern const struct rpc_param rule_params_del[RULE_PARAMS_N_ADD];
extern const struct rpc_param rule_params_list[RULE_PARAMS_N_LIST];
extern const struct rpc_param rule_params_set[RULE_PARAMS_N_ADD];

// The parameters of the rule.add that makes it. New reference.
json_t *rule_params_encode(const char *port, const struct flow_entry *rule);
