// Rules of what a port sends: of those that match a packet one wins (rtvs/flow_table.h), and says
// what becomes of the packet. One that none matches goes on as without rules. They are asked after
// the guard of addresses and before a source is learned. Control thread. Ports of an eswitch in
// switchdev mode (rtvs/dp_eswitch.h) have a second list, their guest's. It is asked after the
// host's.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/flow_set.h"

#define DP_MAX_RULES 4096 // of a port

enum dp_rules_of {
	DP_RULES_HOST,
	DP_RULES_GUEST,
	DP_RULES_N
};

// What is in a slot from then on.
struct dp_rule_change {
	struct flow_entry entry; // its slot: below DP_MAX_RULES. Its key has no `in`
	bool is_there; // false: the slot is empty, and nothing but it counts
};

struct dp_rule_stats {
	uint64_t packets, bytes; // that matched, since the slot had this rule
};

// All changes or none, each slot once; a packet is judged by the rules before or by those after
// them. A rule that stays in its slot keeps its counters unless its action changes. -ENOENT: no
// such port; -EINVAL: a slot or rule, or a port whose packets are no frames of a bridge; -EEXIST:
// two slots with one match and priority; -EMLINK: more than FLOW_TABLE_MASKS_MAX masks; -ENOMEM.
int dp_rules_change(struct dp *dp, unsigned port, enum dp_rules_of of, const struct dp_rule_change *changes, unsigned n,
	char err[DP_ERR_SIZE]);
// -ENOENT
int dp_rule_stats(
	const struct dp *dp, unsigned port, enum dp_rules_of of, uint32_t slot, struct dp_rule_stats *ret_stats);
