// Methods of the noun rule: rules of what a port sends.
#include "answer.h"
#include "methods.h"
#include "plane.h"
#include "rtvs/dp_rules.h"
#include "rule_params.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
parse(const char *text, struct flow_entry *ret_rule, struct rpc_error *err)
{
	char wrong[FLOW_TEXT_ERROR_SIZE], why[DP_ERR_SIZE];

	if (!flow_text_parse(text, NULL, ret_rule, wrong))
		return 0;
	(void)snprintf(why, sizeof(why), "rule: %s", wrong);
	return ctl_refuse(err, -EINVAL, why);
}

static int
rule_add(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct rule_params *p = params;
	struct flow_entry rule;
	char text[DP_ERR_SIZE] = "";
	int rc;

	(void)present;
	(void)ret_result;
	if (parse(p->rule, &rule, err) < 0)
		return -1;
	rc = model_rule_add(plane->model, p->port, &rule, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
rule_del(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct rule_params *p = params;
	char match[sizeof(p->rule) + 16], text[DP_ERR_SIZE] = "";
	struct flow_entry rule;
	int rc;

	(void)present;
	(void)ret_result;
	(void)snprintf(match, sizeof(match), "%s%s", p->rule, strstr(p->rule, "actions=") ? "" : ",actions=drop");
	if (parse(match, &rule, err) < 0)
		return -1;
	rc = model_rule_del(plane->model, p->port, &rule.rule, text);
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

static int
rule_clear(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct rule_params *p = params;
	char text[DP_ERR_SIZE] = "";
	int rc = model_rule_set_all(plane->model, p->port, NULL, 0, text);

	(void)present;
	(void)ret_result;
	return rc < 0 ? ctl_refuse(err, rc, text) : 0;
}

// The next rule of a list, in place. NULL: that was the last.
static char *
next_rule(char **cursor)
{
	char *rule = NULL;

	while (*cursor && !rule) {
		rule = strsep(cursor, ";");
		rule += strspn(rule, " \t\n");
		for (size_t n = strlen(rule); n > 0 && strchr(" \t\n", rule[n - 1]); n--)
			rule[n - 1] = '\0';
		rule = *rule ? rule : NULL;
	}
	return rule;
}

static int
rule_set(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct plane *plane = ctx;
	const struct rule_set_params *p = params;
	struct flow_entry *rules = calloc(DP_MAX_RULES + 1, sizeof(*rules));
	char *copy = strdup(p->rules), *cursor = copy, text[DP_ERR_SIZE] = "";
	unsigned n = 0;
	int rc = rules && copy ? 0 : -ENOMEM;

	(void)present;
	(void)ret_result;
	// One more than a port may have is refused with the others.
	for (char *rule; !rc && n <= DP_MAX_RULES && (rule = next_rule(&cursor)); n++)
		if (parse(rule, &rules[n], err) < 0)
			goto out;
	if (!rc)
		rc = model_rule_set_all(plane->model, p->port, rules, n, text);
	if (rc < 0)
		(void)ctl_refuse(err, rc, text);
out:
	free(copy);
	free(rules);
	return rc < 0 || err->code ? -1 : 0;
}

static json_t *
rule_json(const struct plane *plane, unsigned port, const struct flow_entry *rule)
{
	struct dp_rule_stats stats = {0};
	char text[FLOW_TEXT_SIZE];

	(void)dp_rule_stats(plane->dp, port, DP_RULES_HOST, rule->rule.slot, &stats);
	return json_pack("{s:s, s:I, s:I}", "rule", flow_text_format(rule, NULL, text), "packets",
		(json_int_t)stats.packets, "bytes", (json_int_t)stats.bytes);
}

static int
rule_list(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct plane *plane = ctx;
	const struct rule_params *p = params;
	const struct model_port *port = model_port_find(plane->model, p->port);
	json_t *list;
	uint32_t pos = p->pos;

	(void)present;
	if (!port)
		return ctl_refuse_name(err, -ENOENT, "port", p->port);
	list = json_array();
	for (; pos < port->n_rules && pos - p->pos < p->max; pos++)
		(void)json_array_append_new(list, rule_json(plane, port->id, &port->rules[pos]));
	return ctl_answer(ret_result,
		json_pack("{s:o, s:o}", "rules", list, "next", pos < port->n_rules ? json_integer(pos) : json_null()),
		err);
}

#define SIZE sizeof(struct rule_params)
const struct rpc_method rpc_rule_methods[] = {
	{"rule.add",
		"Add a rule for what a port sends, or give the rule with this match and priority other actions. Of the "
		"rules that match a packet the one with the highest priority decides; a packet that none matches "
		"passes.",
		"true", rule_add, rule_params_add, RULE_PARAMS_N_ADD, SIZE, RPC_CONFIG},
	{"rule.del", "Remove a rule of a port.", "true", rule_del, rule_params_del, RULE_PARAMS_N_ADD, SIZE,
		RPC_CONFIG},
	{"rule.set", "Give a port these rules, in place of those that it has; a rule that stays keeps its counters.",
		"true", rule_set, rule_params_set, RULE_PARAMS_N_ADD, sizeof(struct rule_set_params), RPC_CONFIG},
	{"rule.clear", "Remove all rules of a port.", "true", rule_clear, rule_params_add, 1, SIZE, RPC_CONFIG},
	{"rule.list", "Show the rules of a port, the highest priority first, and what matched them.",
		"{rules, next}: {rule, packets, bytes} each, and the position to continue at (null: that was all).",
		rule_list, rule_params_list, RULE_PARAMS_N_LIST, SIZE, RPC_READ_ONLY},
	{0},
};
