// The parts of a tc filter's message, for tc_rule.c alone.
#pragma once

#include "tc_rule.h"

#include <libmnl/libmnl.h>

// Only the first reason is kept.
void __attribute__((format(printf, 2, 3))) tc_parts_trap(struct tc_rule *rule, const char *format, ...);

// protocol: the filter's, as EtherType; of VLANs that of their tag.
void tc_match_protocol(struct tc_rule *rule, uint16_t protocol);
// The keys of flower. protocol has been matched.
void tc_match_flower(struct tc_rule *rule, const struct nlattr *options, uint16_t protocol);
// The match must be complete. actions NULL: the filter has none.
void tc_action_read(struct tc_rule *rule, const struct nlattr *actions, const struct tc_rule_ports *ports);
