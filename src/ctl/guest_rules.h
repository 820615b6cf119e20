// The rules of a guest in switchdev mode (rtvs/dp_eswitch.h), by the cookies that it gave them.
// They belong to the sessions of its channel, and are no configuration.
#pragma once

#include "model.h"
#include "rtvs/flow_text.h"

#include <stdbool.h>
#include <stdint.h>

#define GUEST_RULES_COOKIE_MAX ((UINT64_C(1) << 53) - 1) // that any JSON keeps exactly

struct guest_rule {
	uint64_t cookie; // from 1
	uint16_t in; // VF, or FLOW_TEXT_UPLINK
	struct flow_entry entry; // outputs as flow_text_vfs numbers them; its slot is that of `in`
};

struct guest_rules {
	unsigned n;
	struct guest_rule **rule; // by cookie; NULL: there never was one
	uint64_t n_refused; // since the channel exists
};

void guest_rules_fini(struct guest_rules *rules);
// The datapath has none of them any more.
void guest_rules_forget(struct guest_rules *rules);
// NULL: there is none
const struct guest_rule *guest_rules_find(const struct guest_rules *rules, uint64_t cookie);
// The first whose cookie is larger; rules->n: there is none.
unsigned guest_rules_after(const struct guest_rules *rules, uint64_t cookie);

// `in`, or an output, as flow_text_vfs numbers it. NULL: the eswitch has no such VF.
const struct model_port *guest_rules_port(
	const struct model *model, const struct model_eswitch *eswitch, uint16_t number);

// Takes out those with these cookies, as far as there are such. -ENOMEM: those of some ports are
// still there.
int guest_rules_del(struct guest_rules *rules, const struct model *model, const struct model_eswitch *eswitch,
	const uint64_t *cookies, unsigned n);
int guest_rules_del_all(struct guest_rules *rules, const struct model *model, const struct model_eswitch *eswitch);
// Adds rules, each or puts it in the place of that with its cookie; what is refused changes
// nothing. refused_cb: with the reason, for the guest. 0 or -ENOMEM: some are not added, and were
// not refused.
typedef void guest_rules_refused_fn(void *arg, uint64_t cookie, const char *reason);
int guest_rules_add(struct guest_rules *rules, const struct model *model, const struct model_eswitch *eswitch,
	const struct guest_rule *add, unsigned n, guest_rules_refused_fn *refused_cb, void *arg);
