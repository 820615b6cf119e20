#include "port_rules.h"

#include "dp_state.h"
#include "path/rules.h"
#include "path/view.h"
#include "rtvs/dp_rules.h"
#include "rtvs/flow_table.h"

#include <rte_random.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// A snapshot in the making.
struct making {
	struct dp *dp;
	const struct dp_rule_change *change;
	unsigned n;
	struct rules *old, *next; // old: NULL, there were no rules
	struct rule **made; // of each change: the rule that it brings, NULL: none
	struct flow_change *table_change; // at most two of each change
	unsigned *of_change; // which change asked for it
	size_t n_table_changes;
};

static void *
take(void *arg, size_t size)
{
	(void)arg;
	return aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
}

static void
give(void *arg, void *at, size_t size)
{
	(void)arg;
	(void)size;
	free(at);
}

static const struct flow_memory memory = {.take = take, .give = give};

static struct rule *
rule_at(const struct rules *rules, uint32_t slot)
{
	return rules && slot < rules->n_slots ? rules->rule[slot] : NULL;
}

static bool
is_same_match(const struct flow_rule *a, const struct flow_rule *b)
{
	return a->priority == b->priority && !memcmp(&a->key, &b->key, sizeof(a->key)) &&
		!memcmp(&a->mask, &b->mask, sizeof(a->mask));
}

static struct rule *
make_rule(const struct dp *dp, const struct flow_entry *entry)
{
	static const struct flow_key nothing;
	const struct flow_action *action = &entry->action;
	size_t n_bytes = sizeof(struct rule) + dp->env.n_workers * sizeof(struct rule_count);
	struct rule *rule = take(NULL, n_bytes);

	if (!rule)
		return NULL;
	memset(rule, 0, n_bytes);
	rule->entry = *entry;
	rule->writes = memcmp(&action->set.mask, &nothing, sizeof(nothing)) != 0;
	rule->changes = rule->writes || action->pops_tag || action->push_tci;
	rule->is_plain = action->verdict == FLOW_ALLOW && !action->rate_bps && !rule->changes;
	rate_limit_init(&rule->limit, action->rate_bps / 8,
		RTE_MAX(dp_bucket_bytes(0, DP_MTU_MAX, false), action->rate_bps / 8 / 1000));
	return rule;
}

static void
add_table_change(struct making *m, unsigned i, const struct flow_rule *rule, bool is_add)
{
	m->of_change[m->n_table_changes] = i;
	m->table_change[m->n_table_changes++] = (struct flow_change){.rule = *rule, .is_add = is_add};
}

// What leaves the table goes first, so that what comes may have its place.
static int
compare(struct making *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct dp_rule_change *c = &m->change[i];
		struct rule *was = rule_at(m->old, c->entry.rule.slot);
		bool stays = was && c->is_there && is_same_match(&was->entry.rule, &c->entry.rule);

		if (stays && flow_set_is_same_action(&was->entry.action, &c->entry.action)) {
			m->made[i] = was;
			continue;
		}
		if (c->is_there) {
			m->made[i] = make_rule(m->dp, &c->entry);
			if (!m->made[i])
				return -ENOMEM;
		}
		if (was && !stays)
			add_table_change(m, i, &was->entry.rule, false);
	}
	for (unsigned i = 0; i < m->n; i++) {
		const struct dp_rule_change *c = &m->change[i];
		struct rule *was = rule_at(m->old, c->entry.rule.slot);

		if (c->is_there && !(was && is_same_match(&was->entry.rule, &c->entry.rule)))
			add_table_change(m, i, &c->entry.rule, true);
	}
	return 0;
}

static int
blame(const struct making *m, size_t at, char err[DP_ERR_SIZE])
{
	const struct flow_change *change = &m->table_change[at];
	uint32_t slot = m->change[m->of_change[at]].entry.rule.slot;

	switch (change->ret) {
	case -EEXIST:
		dp_error(err, "rule %u: another rule has this match and priority", slot);
		break;
	case -EMLINK:
		dp_error(err, "rule %u: the rules before it match on %u combinations of fields, the limit", slot,
			FLOW_TABLE_MASKS_MAX);
		break;
	default:
		dp_error(err, "rule %u: its value has bits outside of its mask", slot);
		break;
	}
	return change->ret == -EEXIST || change->ret == -EMLINK ? change->ret : -EINVAL;
}

static int
make_table(struct making *m, char err[DP_ERR_SIZE])
{
	struct flow_table *from = m->old ? m->old->table : NULL;
	int rc = from ? 0 : flow_table_create(&memory, DP_MAX_RULES, FLOW_TABLE_MASKS_MAX, rte_rand(), &from);

	if (!rc)
		rc = flow_table_apply(from, m->table_change, m->n_table_changes, &m->next->table);
	if (!m->old)
		flow_table_free(from);
	for (size_t i = 0; !rc && i < m->n_table_changes; i++)
		if (m->table_change[i].ret)
			rc = blame(m, i, err);
	return rc;
}

static uint32_t
n_slots_of(const struct making *m)
{
	uint32_t n = m->old ? m->old->n_slots : 0;

	for (unsigned i = 0; i < m->n; i++)
		n = RTE_MAX(n, m->change[i].is_there ? m->change[i].entry.rule.slot + 1 : 0);
	return n;
}

static int
make_next(struct making *m, char err[DP_ERR_SIZE])
{
	uint32_t n_slots = n_slots_of(m);
	int rc = compare(m);

	m->next = rc ? NULL : calloc(1, sizeof(*m->next) + n_slots * sizeof(m->next->rule[0]));
	if (!m->next)
		return -ENOMEM;
	m->next->n_slots = n_slots;
	m->next->gen = ++m->dp->n_rules_made;
	if (m->old)
		memcpy(m->next->rule, m->old->rule, m->old->n_slots * sizeof(m->old->rule[0]));
	for (unsigned i = 0; i < m->n; i++)
		if (m->change[i].entry.rule.slot < n_slots)
			m->next->rule[m->change[i].entry.rule.slot] = m->made[i];
	return make_table(m, err);
}

static void
free_snapshot(struct rules *rules)
{
	if (rules)
		flow_table_free(rules->table);
	free(rules);
}

// What is in no snapshot: the rules that went, or those that did not come.
static void
end_making(struct making *m, bool is_done)
{
	for (unsigned i = 0; m->made && i < m->n; i++) {
		struct rule *was = rule_at(m->old, m->change[i].entry.rule.slot);

		if (was != m->made[i])
			free(is_done ? was : m->made[i]);
	}
	free_snapshot(is_done ? m->old : m->next);
	free(m->made);
	free(m->table_change);
	free(m->of_change);
}

static int
publish(struct making *m, struct port *port, enum dp_rules_of of)
{
	int rc;

	port->rules[of] = m->next;
	registry_touch(port);
	rc = views_publish(m->dp);
	if (rc)
		port->rules[of] = m->old;
	return rc;
}

static bool
has_good_outputs(const struct flow_action *action)
{
	if (action->verdict != FLOW_OUTPUT)
		return !action->n_outputs;
	for (unsigned i = 0; i < action->n_outputs; i++)
		if (i == FLOW_OUTPUTS_MAX || action->output[i] >= DP_MAX_PORTS)
			return false;
	return action->n_outputs;
}

static int
check_rule(const struct flow_entry *entry, char err[DP_ERR_SIZE])
{
	if (entry->rule.mask.in)
		dp_error(err, "rule %u: rules of a port do not match on the port", entry->rule.slot);
	else if (flow_set_check(&entry->action.set))
		dp_error(err, "rule %u: it writes into a field that cannot be written", entry->rule.slot);
	else if (!has_good_outputs(&entry->action))
		dp_error(err, "rule %u: it outputs to none, or more than %u ports, or is no output", entry->rule.slot,
			FLOW_OUTPUTS_MAX);
	else
		return 0;
	return -EINVAL;
}

static int
check(const struct port *port, enum dp_rules_of of, const struct dp_rule_change *changes, unsigned n,
	char err[DP_ERR_SIZE])
{
	uint64_t seen[DP_MAX_RULES / 64] = {0};
	int rc = 0;

	if (port->cfg.device[0]) {
		dp_error(err, "port: " DP_OFFLOADED, port->cfg.device);
		return -EINVAL;
	}
	if (port->cfg.address.len) {
		dp_error(err, "port: a port with an address has no rules, its tunnels have");
		return -EINVAL;
	}
	if (of == DP_RULES_GUEST && (!port->eswitch || port->eswitch->pf == port->path.id)) {
		dp_error(err, "port: it is no virtual function, or uplink, in switchdev mode");
		return -EINVAL;
	}
	for (unsigned i = 0; !rc && i < n; i++) {
		uint32_t slot = changes[i].entry.rule.slot;

		if (slot >= DP_MAX_RULES || seen[slot / 64] >> slot % 64 & 1) {
			dp_error(err, "rule %u: its number is used twice, or out of range 0 to %u", slot,
				DP_MAX_RULES - 1);
			return -EINVAL;
		}
		seen[slot / 64] |= UINT64_C(1) << slot % 64;
		rc = changes[i].is_there ? check_rule(&changes[i].entry, err) : 0;
	}
	return rc;
}

int
dp_rules_change(struct dp *dp, unsigned id, enum dp_rules_of of, const struct dp_rule_change *changes, unsigned n,
	char err[DP_ERR_SIZE])
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct making m = {.dp = dp, .change = changes, .n = n};
	int rc = port ? check(port, of, changes, n, err) : -ENOENT;

	if (rc || !n)
		return rc;
	m.old = port->rules[of];
	m.made = calloc(n, sizeof(*m.made));
	m.table_change = calloc(n, 2 * sizeof(*m.table_change));
	m.of_change = calloc(n, 2 * sizeof(*m.of_change));
	rc = m.made && m.table_change && m.of_change ? make_next(&m, err) : -ENOMEM;
	if (!rc && !flow_table_n_rules(m.next->table)) { // no rules cost nothing
		free_snapshot(m.next);
		m.next = NULL;
	}
	if (!rc)
		rc = publish(&m, port, of);
	if (rc == -ENOMEM)
		dp_error(err, "no memory for rules");
	end_making(&m, !rc);
	return rc;
}

int
dp_rule_stats(const struct dp *dp, unsigned id, enum dp_rules_of of, uint32_t slot, struct dp_rule_stats *ret_stats)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	const struct rule *rule = port ? rule_at(port->rules[of], slot) : NULL;

	*ret_stats = (struct dp_rule_stats){0};
	if (!rule)
		return -ENOENT;
	for (unsigned i = 0; i < dp->env.n_workers; i++) {
		ret_stats->packets += __atomic_load_n(&rule->count[i].packets, __ATOMIC_RELAXED);
		ret_stats->bytes += __atomic_load_n(&rule->count[i].bytes, __ATOMIC_RELAXED);
	}
	return 0;
}

void
port_rules_free_list(struct rules *rules)
{
	for (uint32_t i = 0; rules && i < rules->n_slots; i++)
		free(rules->rule[i]);
	free_snapshot(rules);
}

void
port_rules_free(struct port *port)
{
	for (unsigned of = 0; of < DP_RULES_N; of++)
		port_rules_free_list(port->rules[of]);
}
