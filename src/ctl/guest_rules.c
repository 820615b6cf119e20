// Rules are found by cookie in a sorted list. A slot is one of the port that a rule is of. Changes
// of one port go to the datapath together; if that refuses them, one after the other, which tells
// those that are wrong.
#include "guest_rules.h"

#include "rtvs/dp_rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Rules that are about to be added, or those of one port that are taken out.
struct run {
	struct guest_rules *rules;
	const struct model *m;
	const struct model_eswitch *eswitch;
	unsigned n, n_new; // n_new: with cookies that there are not yet
	struct guest_rule **made; // each its own; NULL: it is in the list by now
	// Of one port.
	uint16_t in;
	unsigned n_changes;
	struct dp_rule_change *change;
	unsigned *of_change; // which of `made`
	uint64_t used[DP_MAX_RULES / 64]; // slots
	guest_rules_refused_fn *refused_cb;
	void *arg;
};

void
guest_rules_forget(struct guest_rules *rules)
{
	while (rules->n > 0)
		free(rules->rule[--rules->n]);
}

void
guest_rules_fini(struct guest_rules *rules)
{
	guest_rules_forget(rules);
	free(rules->rule);
	rules->rule = NULL;
}

unsigned
guest_rules_after(const struct guest_rules *rules, uint64_t cookie)
{
	unsigned low = 0, high = rules->n;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (rules->rule[middle]->cookie <= cookie)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct guest_rule *
guest_rules_find(const struct guest_rules *rules, uint64_t cookie)
{
	unsigned at = cookie ? guest_rules_after(rules, cookie - 1) : rules->n;

	return at < rules->n && rules->rule[at]->cookie == cookie ? rules->rule[at] : NULL;
}

const struct model_port *
guest_rules_port(const struct model *m, const struct model_eswitch *eswitch, uint16_t number)
{
	return number == FLOW_TEXT_UPLINK ? model_port_find(m, eswitch->uplink) : model_eswitch_vf(m, eswitch, number);
}

// As the datapath has it: outputs are ports. False: there is no such port.
static bool
translate(const struct model *m, const struct model_eswitch *eswitch, const struct guest_rule *rule,
	struct flow_entry *ret_entry)
{
	*ret_entry = rule->entry;
	for (unsigned i = 0; i < rule->entry.action.n_outputs; i++) {
		const struct model_port *port = guest_rules_port(m, eswitch, rule->entry.action.output[i]);

		if (!port)
			return false;
		ret_entry->action.output[i] = (uint16_t)port->id;
	}
	return true;
}

static int
change(const struct run *run, const struct dp_rule_change *changes, unsigned n, char err[DP_ERR_SIZE])
{
	const struct model_port *port = guest_rules_port(run->m, run->eswitch, run->in);

	return run->m->dp ? dp_rules_change(run->m->dp, port->id, DP_RULES_GUEST, changes, n, err) : 0;
}

// ---- taking out

static bool
is_wanted(const struct guest_rule *rule, const uint64_t *cookies, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (cookies[i] == rule->cookie)
			return true;
	return !cookies;
}

// cookies: NULL, all of that port.
static int
del_of(struct run *run, const uint64_t *cookies, unsigned n)
{
	struct guest_rules *rules = run->rules;
	char ignored[DP_ERR_SIZE];
	unsigned n_left = 0;
	int rc;

	run->n_changes = 0;
	for (unsigned i = 0; i < rules->n; i++)
		if (rules->rule[i]->in == run->in && is_wanted(rules->rule[i], cookies, n))
			run->change[run->n_changes++] = (struct dp_rule_change){.entry = rules->rule[i]->entry};
	rc = run->n_changes ? change(run, run->change, run->n_changes, ignored) : 0;
	if (rc || !run->n_changes)
		return rc;
	for (unsigned i = 0; i < rules->n; i++) {
		if (rules->rule[i]->in == run->in && is_wanted(rules->rule[i], cookies, n))
			free(rules->rule[i]);
		else
			rules->rule[n_left++] = rules->rule[i];
	}
	rules->n = n_left;
	return 0;
}

int
guest_rules_del(struct guest_rules *rules, const struct model *m, const struct model_eswitch *eswitch,
	const uint64_t *cookies, unsigned n)
{
	struct run run = {.rules = rules, .m = m, .eswitch = eswitch};
	int rc = 0;

	if (!rules->n)
		return 0;
	run.change = calloc(rules->n, sizeof(*run.change));
	if (!run.change)
		return -ENOMEM;
	for (run.in = 0; !rc && run.in <= FLOW_TEXT_UPLINK; run.in++)
		rc = del_of(&run, cookies, n);
	free(run.change);
	return rc ? -ENOMEM : 0; // nothing else can be wrong with a slot that is emptied
}

int
guest_rules_del_all(struct guest_rules *rules, const struct model *m, const struct model_eswitch *eswitch)
{
	return guest_rules_del(rules, m, eswitch, NULL, 0);
}

// ---- adding

static void
refuse(struct run *run, uint64_t cookie, const char *reason)
{
	run->rules->n_refused++;
	run->refused_cb(run->arg, cookie, reason);
}

// There is one, since a port has as many as rules are permitted.
static uint32_t
take_slot(struct run *run)
{
	for (uint32_t word = 0; word < DP_MAX_RULES / 64; word++) {
		uint64_t is_free = ~run->used[word];

		if (is_free) {
			uint32_t bit = (uint32_t)__builtin_ctzll(is_free);

			run->used[word] |= UINT64_C(1) << bit;
			return 64 * word + bit;
		}
	}
	return 0;
}

// The rule goes to the datapath with the run, if it is not refused here.
static void
prepare(struct run *run, const struct guest_rule *add, const struct guest_rule *was)
{
	struct flow_entry ignored;
	char text[96];

	if (!guest_rules_port(run->m, run->eswitch, add->in)) {
		refuse(run, add->cookie, "in: there is no such virtual function");
		return;
	}
	if (!was && run->rules->n + run->n_new >= run->eswitch->max_rules) {
		(void)snprintf(text, sizeof(text),
			"there are %u rules already, the limit that the host's administrator set",
			run->eswitch->max_rules);
		refuse(run, add->cookie, text);
		return;
	}
	if (was && was->in != add->in) {
		refuse(run, add->cookie, "in: that of a cookie stays; take the rule out first");
		return;
	}
	if (!translate(run->m, run->eswitch, add, &ignored)) {
		refuse(run, add->cookie, "output: there is no such virtual function");
		return;
	}
	run->made[run->n] = malloc(sizeof(*add));
	if (!run->made[run->n]) {
		refuse(run, add->cookie, "out of memory");
		return;
	}
	*run->made[run->n++] = *add;
	run->n_new += !was;
}

// It is in the datapath.
static void
keep(struct run *run, unsigned i)
{
	struct guest_rules *rules = run->rules;
	struct guest_rule *rule = run->made[i];
	unsigned at = guest_rules_after(rules, rule->cookie - 1);

	run->made[i] = NULL;
	if (at < rules->n && rules->rule[at]->cookie == rule->cookie) {
		free(rules->rule[at]);
	} else {
		memmove(&rules->rule[at + 1], &rules->rule[at], (rules->n - at) * sizeof(rules->rule[0]));
		rules->n++;
	}
	rules->rule[at] = rule;
}

// The reason without the number of a slot, which the guest does not know.
static const char *
reason_of(const char *err)
{
	const char *colon = strncmp(err, "rule ", 5) ? NULL : strchr(err, ':');

	return colon ? colon + 2 : err;
}

static void
find_used(struct run *run)
{
	memset(run->used, 0, sizeof(run->used));
	for (unsigned i = 0; i < run->rules->n; i++) {
		uint32_t slot = run->rules->rule[i]->entry.rule.slot;

		if (run->rules->rule[i]->in == run->in)
			run->used[slot / 64] |= UINT64_C(1) << slot % 64;
	}
}

// What the run has for one port.
static void
find_changes(struct run *run)
{
	run->n_changes = 0;
	for (unsigned i = 0; i < run->n; i++) {
		struct guest_rule *rule = run->made[i];
		const struct guest_rule *was;
		struct dp_rule_change *c = &run->change[run->n_changes];

		if (!rule || rule->in != run->in)
			continue;
		if (!run->n_changes)
			find_used(run);
		was = guest_rules_find(run->rules, rule->cookie);
		rule->entry.rule.slot = was ? was->entry.rule.slot : take_slot(run);
		c->is_there = true;
		// It can be: prepare has seen that.
		(void)translate(run->m, run->eswitch, rule, &c->entry);
		run->of_change[run->n_changes++] = i;
	}
}

static void
add_changes(struct run *run)
{
	char err[DP_ERR_SIZE] = "";
	int rc = change(run, run->change, run->n_changes, err);

	for (unsigned k = 0; k < run->n_changes; k++) {
		unsigned i = run->of_change[k];

		if (!rc || !change(run, &run->change[k], 1, err)) {
			keep(run, i);
			continue;
		}
		refuse(run, run->made[i]->cookie, reason_of(err));
		free(run->made[i]);
		run->made[i] = NULL;
	}
}

static void
end_run(struct run *run)
{
	for (run->in = 0; run->n && run->in <= FLOW_TEXT_UPLINK; run->in++) {
		find_changes(run);
		if (run->n_changes)
			add_changes(run);
	}
	run->n = run->n_new = 0;
}

static bool
is_in_run(const struct run *run, uint64_t cookie)
{
	for (unsigned i = 0; i < run->n; i++)
		if (run->made[i]->cookie == cookie)
			return true;
	return false;
}

int
guest_rules_add(struct guest_rules *rules, const struct model *m, const struct model_eswitch *eswitch,
	const struct guest_rule *add, unsigned n, guest_rules_refused_fn *refused_cb, void *arg)
{
	struct run run = {.rules = rules, .m = m, .eswitch = eswitch, .refused_cb = refused_cb, .arg = arg};
	bool has_room;

	if (!rules->rule)
		rules->rule = calloc(DP_MAX_RULES, sizeof(rules->rule[0]));
	run.change = calloc(n + 1u, sizeof(*run.change));
	run.made = calloc(n + 1u, sizeof(*run.made));
	run.of_change = calloc(n + 1u, sizeof(*run.of_change));
	has_room = rules->rule && run.change && run.made && run.of_change;
	for (unsigned i = 0; has_room && i < n; i++) {
		if (is_in_run(&run, add[i].cookie))
			end_run(&run);
		prepare(&run, &add[i], guest_rules_find(rules, add[i].cookie));
	}
	if (has_room)
		end_run(&run);
	free(run.change);
	free(run.made);
	free(run.of_change);
	return has_room ? 0 : -ENOMEM;
}
