// A rule is known by its match and priority; its slot is each process's own. Both processes have
// most rules in the same order, so each is looked for behind the one before.
#include "state_rules.h"

#include "path/rules.h"
#include "state_limits.h"

#include <string.h>

struct saved_rule {
	uint32_t port, priority;
	struct flow_key key, mask;
	uint64_t packets, bytes;
	int64_t paid; // of its rate: see state_limits.h
};

void
state_rules_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++) {
		const struct rules *rules = s->dp->port[i] ? s->dp->port[i]->rules[DP_RULES_HOST] : NULL;

		for (uint32_t slot = 0; rules && slot < rules->n_slots; slot++) {
			const struct rule *rule = rules->rule[slot];
			struct saved_rule saved;

			if (!rule)
				continue;
			saved = (struct saved_rule){.port = i,
				.priority = rule->entry.rule.priority,
				.key = rule->entry.rule.key,
				.mask = rule->entry.rule.mask,
				.paid = state_limits_save_paid(s, &rule->paid)};
			for (unsigned w = 0; w < s->dp->env.n_workers; w++) {
				saved.packets += rule->count[w].packets;
				saved.bytes += rule->count[w].bytes;
			}
			state_record_begin(&s->out, STATE_RULE, 1);
			state_record_put(&s->out, &saved, sizeof(saved));
			state_record_end(&s->out);
		}
	}
}

static bool
is(const struct rule *rule, const struct saved_rule *saved)
{
	return rule && rule->entry.rule.priority == saved->priority &&
		!memcmp(&rule->entry.rule.key, &saved->key, sizeof(saved->key)) &&
		!memcmp(&rule->entry.rule.mask, &saved->mask, sizeof(saved->mask));
}

bool
state_rules_load(struct state_load *l, struct state_record *record)
{
	const struct rules *rules;
	struct saved_rule saved;
	struct port *port;

	if (!state_take_all(record, &saved, sizeof(saved)))
		return false;
	port = state_port(l, saved.port);
	rules = port ? port->rules[DP_RULES_HOST] : NULL;
	for (uint32_t i = 0; rules && i < rules->n_slots; i++) {
		uint32_t slot = (l->rule_slot + i) % rules->n_slots;

		if (is(rules->rule[slot], &saved)) {
			rules->rule[slot]->count[0].packets += saved.packets;
			rules->rule[slot]->count[0].bytes += saved.bytes;
			state_limits_load_paid(l, &rules->rule[slot]->limit, &rules->rule[slot]->paid, saved.paid);
			l->rule_slot = slot + 1;
			return true;
		}
	}
	return false;
}
