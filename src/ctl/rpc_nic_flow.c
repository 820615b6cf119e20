// The guest's rules in switchdev mode, as it sends them over its NIC's channel. A batch is done
// rule by rule: the answer names those that were refused, and why.
#include "answer.h"
#include "channels.h"
#include "methods.h"
#include "rtvs/dp_rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define MAX_STATS 1000 // in one answer

struct sync_params {
	bool reset;
	json_t *del, *add;
};

struct stats_params {
	json_t *cookies;
	uint64_t from;
};

static int
refuse_mode(struct rpc_error *err)
{
	return ctl_refuse(err, -EPERM, "the NIC is in mode legacy, which has no rules: nic.mode switchdev comes first");
}

static bool
is_cookie(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) > 0 &&
		(uint64_t)json_integer_value(value) <= GUEST_RULES_COOKIE_MAX;
}

static int
refuse_item(struct rpc_error *err, const char *what, size_t i, const char *wanted)
{
	rpc_error_set(err, RPC_INVALID_PARAMS, "%s[%zu]: %s", what, i, wanted);
	return -1;
}

// NULL with *ret_n 0: the list is empty, or there is none. -1: it has something else.
static int
take_cookies(const json_t *list, const char *what, uint64_t **ret_cookies, unsigned *ret_n, struct rpc_error *err)
{
	size_t n = json_array_size(list);
	uint64_t *cookies = n ? calloc(n, sizeof(*cookies)) : NULL;

	if (n && !cookies)
		return ctl_refuse(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		if (!is_cookie(json_array_get(list, i))) {
			free(cookies);
			return refuse_item(err, what, i, "a cookie is an integer from 1 to 2^53 - 1");
		}
		cookies[i] = (uint64_t)json_integer_value(json_array_get(list, i));
	}
	*ret_cookies = cookies;
	*ret_n = (unsigned)n;
	return 0;
}

static void
add_refused(void *arg, uint64_t cookie, const char *reason)
{
	(void)json_array_append_new(arg, json_pack("{s:I, s:s}", "cookie", (json_int_t)cookie, "reason", reason));
}

// False: the text is no rule, which is answered.
static bool
take_rule(const json_t *item, struct guest_rules *rules, json_t *refused, struct guest_rule *ret_rule)
{
	char wrong[FLOW_TEXT_ERROR_SIZE];

	ret_rule->cookie = (uint64_t)json_integer_value(json_object_get(item, "cookie"));
	if (!flow_text_parse(json_string_value(json_object_get(item, "rule")), &flow_text_vfs, &ret_rule->entry, wrong))
		return true;
	rules->n_refused++;
	add_refused(refused, ret_rule->cookie, wrong);
	return false;
}

static int
take_rules(const json_t *list, struct guest_rules *rules, json_t *refused, struct guest_rule **ret_add, unsigned *ret_n,
	struct rpc_error *err)
{
	struct guest_rule *add = calloc(json_array_size(list) + 1, sizeof(*add));
	const char *wrong = NULL;
	unsigned n = 0;
	size_t i;
	json_t *item;

	if (!add)
		return ctl_refuse(err, -ENOMEM, "out of memory");
	json_array_foreach (list, i, item) {
		const char *in = json_string_value(json_object_get(item, "in"));

		if (!is_cookie(json_object_get(item, "cookie")))
			wrong = "cookie: an integer from 1 to 2^53 - 1";
		else if (!in || !flow_text_vfs.find(flow_text_vfs.arg, in, &add[n].in))
			wrong = "in: vf0 to vf63, or uplink";
		else if (!json_is_string(json_object_get(item, "rule")))
			wrong = "rule: a text";
		if (wrong) {
			free(add);
			return refuse_item(err, "add", i, wrong);
		}
		n += take_rule(item, rules, refused, &add[n]);
	}
	*ret_add = add;
	*ret_n = n;
	return 0;
}

static int
flow_sync(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct channel *channel = ctx;
	const struct model *m = channel->channels->plane->live;
	const struct model_eswitch *eswitch = channels_eswitch(channel);
	const struct sync_params *p = params;
	struct guest_rule *add = NULL;
	json_t *refused = json_array();
	uint64_t *del = NULL;
	unsigned n_del = 0, n_add = 0;
	int rc;

	(void)present;
	channel->server.n_calls_left -=
		(int64_t)(json_array_size(p->add) + json_array_size(p->del)) / CHANNELS_RULES_OF_CALL;
	channel->alone_s = 0; // it may have closed before the next tick looks
	rc = eswitch->mode == MODEL_ESWITCH_SWITCHDEV ? 0 : refuse_mode(err);
	if (!rc)
		rc = take_cookies(p->del, "del", &del, &n_del, err);
	if (!rc)
		rc = take_rules(p->add, &channel->rules, refused, &add, &n_add, err);
	if (!rc) {
		if (p->reset)
			rc = guest_rules_del_all(&channel->rules, m, eswitch);
		if (!rc && n_del)
			rc = guest_rules_del(&channel->rules, m, eswitch, del, n_del);
		if (!rc && n_add)
			rc = guest_rules_add(&channel->rules, m, eswitch, add, n_add, add_refused, refused);
		if (rc)
			rc = ctl_refuse(err, rc, "out of memory");
	}
	free(del);
	free(add);
	if (rc) {
		json_decref(refused);
		return rc;
	}
	return ctl_answer(ret_result, json_pack("{s:o}", "refused", refused), err);
}

static json_t *
stats_json(const struct channel *channel, const struct guest_rule *rule)
{
	const struct plane *plane = channel->channels->plane;
	struct dp_rule_stats stats = {0};

	(void)dp_rule_stats(plane->dp, guest_rules_port(plane->live, channels_eswitch(channel), rule->in)->id,
		DP_RULES_GUEST, rule->entry.rule.slot, &stats);
	return json_pack("{s:I, s:I, s:I}", "cookie", (json_int_t)rule->cookie, "packets", (json_int_t)stats.packets,
		"bytes", (json_int_t)stats.bytes);
}

static int
flow_stats(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct channel *channel = ctx;
	const struct guest_rules *rules = &channel->rules;
	const struct stats_params *p = params;
	json_t *flows = json_array();
	uint64_t *cookies = NULL;
	unsigned n = 0, at = guest_rules_after(rules, p->from);

	(void)present;
	if (take_cookies(p->cookies, "cookies", &cookies, &n, err)) {
		json_decref(flows);
		return -1;
	}
	for (unsigned i = 0; i < n; i++)
		if (guest_rules_find(rules, cookies[i]))
			(void)json_array_append_new(flows, stats_json(channel, guest_rules_find(rules, cookies[i])));
	free(cookies);
	for (; !p->cookies && at < rules->n && json_array_size(flows) < MAX_STATS; at++)
		(void)json_array_append_new(flows, stats_json(channel, rules->rule[at]));
	return ctl_answer(
		ret_result, json_pack("{s:o, s:b}", "flows", flows, "more", !p->cookies && at < rules->n), err);
}

static int
flow_flush(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	struct channel *channel = ctx;

	(void)params;
	(void)present;
	(void)ret_result;
	if (guest_rules_del_all(&channel->rules, channel->channels->plane->live, channels_eswitch(channel)))
		return ctl_refuse(err, -ENOMEM, "out of memory");
	return 0;
}

#define S(member, type, ...) RPC_PARAM(struct sync_params, member, type, __VA_ARGS__)
#define T(member, type, ...) RPC_PARAM(struct stats_params, member, type, __VA_ARGS__)
// clang-format off
static const struct rpc_param sync_params[] = {
	S(reset, RPC_BOOL, .def = "false", .help = "true: all rules are taken out first, as a new session begins"),
	S(del, RPC_LIST, .max = DP_MAX_RULES, .help = "cookies of rules that are taken out"),
	S(add, RPC_LIST, .max = DP_MAX_RULES, .help = "{cookie, in, rule}: in is vf0 and so on, or uplink"),
};
static const struct rpc_param stats_params[] = {
	T(cookies, RPC_LIST, .max = MAX_STATS, .help = "of these rules; missing: of all"),
	T(from, RPC_UINT, .max = GUEST_RULES_COOKIE_MAX, .def = "0", .help = "of those with larger cookies"),
};
// clang-format on

const struct rpc_method rpc_nic_flow_methods[] = {
	{"flow.sync", "Take rules out, and then add rules.", "{refused: list of {cookie, reason}}", flow_sync,
		sync_params, N(sync_params), sizeof(struct sync_params), 0},
	{"flow.stats", "Show what rules have matched, by rising cookies.",
		"{flows: list of {cookie, packets, bytes}, more}", flow_stats, stats_params, N(stats_params),
		sizeof(struct stats_params), RPC_READ_ONLY},
	{"flow.flush", "Take all rules out.", "true", flow_flush, NULL, 0, 0, 0},
	{0},
};
