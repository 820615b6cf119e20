// A tc filter of a representor's ingress, as rtnetlink announces it, becomes a rule of the switch.
// What the switch cannot do becomes a trap: its packets go to the representor, where tc has the
// filter itself. Pure.
#pragma once

#include "rtvs/flow_text.h"

#define TC_RULE_PORTS 65 // VF n is n; the uplink is the last
#define TC_RULE_REASON_SIZE 96

// Representors.
struct tc_rule_ports {
	uint32_t ifindex[TC_RULE_PORTS]; // 0: there is none
};

// What the kernel calls a filter. All are of chain 0.
struct tc_rule_id {
	uint32_t ifindex;
	uint32_t handle; // 0, of a deletion: all of this priority
	uint16_t priority; // tc's: the lower one wins
	uint16_t protocol;
};

struct tc_rule {
	struct tc_rule_id id;
	bool is_deleted; // nothing but the id counts then
	// The kernel says that there are filters; what they are a dump says. In a dump it is
	// nothing.
	bool is_empty;
	uint16_t in; // a number of the ports
	// Of a trap the verdict is FLOW_ALLOW, and it may match more packets than the filter.
	// Outputs are numbers of the ports. Text of it is read back as it is (rtvs/flow_text.h).
	struct flow_entry entry;
	char reason[TC_RULE_REASON_SIZE]; // why it is a trap; empty: the switch does what it says
};

// A message RTM_NEWTFILTER or RTM_DELTFILTER of len bytes, aligned as a struct nlmsghdr. -ENOMSG: a
// filter of no representor's ingress, or of a chain that another filter has to go to, which is a
// trap; -EBADMSG: no message of a filter.
int tc_rule_read(const void *message, size_t len, const struct tc_rule_ports *ports, struct tc_rule *ret_rule);
