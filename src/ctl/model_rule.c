// Rules of a model's ports. A port's list has the highest priority first, and depends on nothing
// but the rules, so that two lists compare place by place. Each rule has a number in the datapath,
// its slot, for as long as its match stays.
#include "model.h"
#include "rtvs/dp_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
compare_match(const struct flow_rule *a, const struct flow_rule *b)
{
	int order;

	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	order = memcmp(&a->mask, &b->mask, sizeof(a->mask));
	return order ? order : memcmp(&a->key, &b->key, sizeof(a->key));
}

static int
compare(const void *a, const void *b)
{
	return compare_match(&((const struct flow_entry *)a)->rule, &((const struct flow_entry *)b)->rule);
}

bool
model_rule_lists_are_same(const struct model_port *a, const struct model_port *b)
{
	if (a->n_rules != b->n_rules)
		return false;
	for (unsigned i = 0; i < a->n_rules; i++)
		if (compare(&a->rules[i], &b->rules[i]) != 0 ||
			!flow_set_is_same_action(&a->rules[i].action, &b->rules[i].action))
			return false;
	return true;
}

const struct flow_entry *
model_rule_find(const struct model_port *port, const struct flow_rule *match)
{
	const struct flow_entry wanted = {.rule = *match};

	return port->n_rules ? bsearch(&wanted, port->rules, port->n_rules, sizeof(wanted), compare) : NULL;
}

static int
check(const struct model_port *port, const struct flow_entry *rules, unsigned n, char err[DP_ERR_SIZE])
{
	struct flow_key mask[FLOW_TABLE_MASKS_MAX];
	unsigned n_masks = 0, k;

	if (n && (port->cfg.address.len || port->cfg.vdpa[0]))
		return model_fail(-EINVAL, err,
			port->cfg.vdpa[0] ? "port %s: its packets are a device's, which knows no rules" :
					    "port %s: a port with an address has no rules, its tunnels have",
			port->cfg.name);
	if (n > DP_MAX_RULES)
		return model_fail(-ENOSPC, err, "port %s has %u rules, the limit", port->cfg.name, DP_MAX_RULES);
	for (unsigned i = 0; i < n; i++) {
		for (k = 0; k < n_masks && memcmp(&mask[k], &rules[i].rule.mask, sizeof(mask[k])) != 0; k++)
			;
		if (k == FLOW_TABLE_MASKS_MAX)
			return model_fail(-EMLINK, err,
				"port %s: its rules match on more than %u combinations of fields and prefix lengths",
				port->cfg.name, FLOW_TABLE_MASKS_MAX);
		if (k == n_masks)
			mask[n_masks++] = rules[i].rule.mask;
	}
	return 0;
}

// The difference of two lists, as changes of slots: what leaves first, then what comes or changes.
struct difference {
	struct dp_rule_change *change; // room for all of both lists
	unsigned n;
	// The first n_freed changes empty their slots, of which so many have a rule again.
	unsigned n_freed, n_reused;
	uint64_t used[DP_MAX_RULES / 64];
};

static uint32_t
next_slot(struct difference *d)
{
	for (uint32_t slot = 0;; slot++)
		if (!(d->used[slot / 64] >> slot % 64 & 1)) {
			d->used[slot / 64] |= UINT64_C(1) << slot % 64;
			return slot;
		}
}

static void
bring(struct difference *d, struct flow_entry *entry)
{
	if (d->n_reused < d->n_freed) {
		entry->rule.slot = d->change[d->n_reused].entry.rule.slot;
		d->change[d->n_reused++] = (struct dp_rule_change){.entry = *entry, .is_there = true};
		return;
	}
	entry->rule.slot = next_slot(d);
	d->change[d->n++] = (struct dp_rule_change){.entry = *entry, .is_there = true};
}

// to: sorted. Its slots are set.
static void
differ(struct difference *d, const struct model_port *port, struct flow_entry *to, unsigned n)
{
	const struct model_port wanted = {.rules = to, .n_rules = n};

	for (unsigned i = 0; i < port->n_rules; i++) {
		uint32_t slot = port->rules[i].rule.slot;

		d->used[slot / 64] |= UINT64_C(1) << slot % 64;
		if (!model_rule_find(&wanted, &port->rules[i].rule))
			d->change[d->n++] = (struct dp_rule_change){.entry = port->rules[i]};
	}
	d->n_freed = d->n;
	for (unsigned i = 0; i < n; i++) {
		const struct flow_entry *was = model_rule_find(port, &to[i].rule);

		if (!was) {
			bring(d, &to[i]);
			continue;
		}
		to[i].rule.slot = was->rule.slot;
		if (!flow_set_is_same_action(&was->action, &to[i].action))
			d->change[d->n++] = (struct dp_rule_change){.entry = to[i], .is_there = true};
	}
}

// The list is the port's from then on, or freed.
static int
install(struct model *m, struct model_port *port, struct flow_entry *rules, unsigned n, char err[DP_ERR_SIZE])
{
	struct difference d = {.change = calloc(port->n_rules + n + 1u, sizeof(*d.change))};
	int rc = d.change ? check(port, rules, n, err) : model_fail(-ENOMEM, err, "out of memory");

	if (!rc) {
		differ(&d, port, rules, n);
		rc = m->dp ? dp_rules_change(m->dp, port->id, DP_RULES_HOST, d.change, d.n, err) : 0;
	}
	free(d.change);
	if (rc < 0) {
		free(rules);
		return rc;
	}
	free(port->rules);
	port->rules = rules;
	port->n_rules = n;
	m->n_changes++;
	return 0;
}

// A copy with room for one more. NULL: no memory.
static struct flow_entry *
copy_of(const struct flow_entry *rules, unsigned n)
{
	struct flow_entry *copy = calloc(n + 1u, sizeof(*copy));

	if (copy && n)
		memcpy(copy, rules, n * sizeof(*copy));
	return copy;
}

int
model_rule_set_all(struct model *m, const char *name, const struct flow_entry *rules, unsigned n, char err[DP_ERR_SIZE])
{
	struct model_port *port = model_port_find(m, name);
	struct flow_entry *copy;

	if (!port)
		return model_fail(-ENOENT, err, "port %s does not exist", name);
	copy = copy_of(rules, n);
	if (!copy)
		return model_fail(-ENOMEM, err, "out of memory");
	qsort(copy, n, sizeof(*copy), compare);
	for (unsigned i = 1; i < n; i++)
		if (compare(&copy[i - 1], &copy[i]) == 0) {
			free(copy);
			return model_fail(-EEXIST, err, "rules: two of them have one match and priority");
		}
	if (model_rule_lists_are_same(port, &(struct model_port){.rules = copy, .n_rules = n})) {
		free(copy);
		return 0;
	}
	return install(m, port, copy, n, err);
}

int
model_rule_add(struct model *m, const char *name, const struct flow_entry *rule, char err[DP_ERR_SIZE])
{
	struct model_port *port = model_port_find(m, name);
	const struct flow_entry *was = port ? model_rule_find(port, &rule->rule) : NULL;
	struct flow_entry *rules;
	unsigned n;

	if (!port)
		return model_fail(-ENOENT, err, "port %s does not exist", name);
	rules = copy_of(port->rules, port->n_rules);
	if (!rules)
		return model_fail(-ENOMEM, err, "out of memory");
	n = port->n_rules + !was;
	rules[was ? was - port->rules : port->n_rules] = *rule;
	qsort(rules, n, sizeof(*rules), compare);
	return install(m, port, rules, n, err);
}

int
model_rule_del(struct model *m, const char *name, const struct flow_rule *match, char err[DP_ERR_SIZE])
{
	struct model_port *port = model_port_find(m, name);
	const struct flow_entry *was = port ? model_rule_find(port, match) : NULL;
	struct flow_entry *rules;

	if (!port)
		return model_fail(-ENOENT, err, "port %s does not exist", name);
	if (!was)
		return model_fail(-ENOENT, err,
			"rule: port %s has none with this match and priority; 'rule list %s' shows what it has", name,
			name);
	rules = copy_of(port->rules, port->n_rules);
	if (!rules)
		return model_fail(-ENOMEM, err, "out of memory");
	memmove(&rules[was - port->rules], &rules[was - port->rules + 1],
		(size_t)(&port->rules[port->n_rules] - was - 1) * sizeof(*rules));
	return install(m, port, rules, port->n_rules - 1, err);
}
