// The parameters of rule.add and its siblings. The handlers decode by these tables; a configuration
// is dumped by them.
#include "rule_params.h"

#include <stdio.h>

#define P(member, type, ...) RPC_PARAM(struct rule_params, member, type, __VA_ARGS__)
#define PORT P(port, RPC_NAME, .is_required = true, .is_key = true, .min = 1, .help = "name of the port")

const struct rpc_param rule_params_add[RULE_PARAMS_N_ADD] = {PORT,
	P(rule, RPC_STR, .is_required = true, .min = 1,
		.help = "match and actions: priority=100,tcp,nw_dst=10.1.0.0/16,tp_dst=443,actions=allow")};
const struct rpc_param rule_params_del[RULE_PARAMS_N_ADD] = {PORT,
	P(rule, RPC_STR, .is_required = true, .min = 1,
		.help = "match and priority of the rule; its actions may be left out")};
const struct rpc_param rule_params_list[RULE_PARAMS_N_LIST] = {PORT,
	P(pos, RPC_UINT, .def = "0", .help = "position to continue at: `next` of the previous answer"),
	P(max, RPC_UINT, .min = 1, .max = RULE_PARAMS_MAX_LIST, .def = "1000", .help = "most rules in this answer")};
const struct rpc_param rule_params_set[RULE_PARAMS_N_ADD] = {
	RPC_PARAM(struct rule_set_params, port, RPC_NAME, .is_required = true, .is_key = true, .min = 1,
		.help = "name of the port"),
	RPC_PARAM(struct rule_set_params, rules, RPC_STR, .is_required = true,
		.help = "rules as in rule.add, separated by semicolons; empty: none")};

json_t *
rule_params_encode(const char *port, const struct flow_entry *rule)
{
	struct rule_params p = {0};

	(void)snprintf(p.port, sizeof(p.port), "%s", port);
	(void)flow_text_format(rule, NULL, p.rule);
	return rpc_encode(rule_params_add, RULE_PARAMS_N_ADD, &p);
}
