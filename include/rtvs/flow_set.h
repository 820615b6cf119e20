// What a rule does with a frame, and what it writes into its headers. Pure. Lengths stay: a tag is
// put or taken by who has the buffer. Checksums are brought up to date by the difference (RFC
// 1624), so a wrong one stays wrong.
#pragma once

#include "rtvs/flow_key.h"

#include <stdbool.h>

struct flow_set {
	struct flow_key value, mask; // no bit of the value is outside the mask
};

#define FLOW_OUTPUTS_MAX 4

enum flow_verdict {
	FLOW_DROP,
	FLOW_ALLOW, // on as without rules
	FLOW_OUTPUT // to ports of the rule's choice
};

// First the headers are written, then a tag is taken, then one is put.
struct flow_action {
	enum flow_verdict verdict;
	uint64_t rate_bps; // what is above it is dropped; 0: no limit
	struct flow_set set; // no bit in its mask: nothing
	bool pops_tag; // the outer one; a frame without a tag has none to take, and goes on
	uint16_t push_tci; // of the new tag, with FLOW_KEY_VLAN_PRESENT; 0: none is put
	uint8_t n_outputs; // of FLOW_OUTPUT, 1 to FLOW_OUTPUTS_MAX; 0 of others
	uint16_t output[FLOW_OUTPUTS_MAX]; // ports, as the caller numbers them
};

// A rule with what it does.
struct flow_entry {
	struct flow_rule rule;
	struct flow_action action;
};

// -EINVAL: a value outside the mask, or a field that cannot be set: only addresses, TOS, TTL, ports
// and a tag's priority and VID can.
int flow_set_check(const struct flow_set *set);
bool flow_set_is_same_action(const struct flow_action *a, const struct flow_action *b);
// Of a frame of len bytes, whose first n_head ones are at data. Fields that the frame does not have
// are left out. is_partial: the L4 checksum has only the pseudo
// header's sum, as a guest leaves it to the device (virtio 1.2, 5.1.6.2). False, and nothing is
// written: the frame's headers lie; its L4 checksum cannot be brought up to date (ports of SCTP; an
// address behind a routing header); or not all of these headers are among the first bytes.
bool flow_set_apply(const struct flow_set *set, uint8_t *data, size_t n_head, size_t len, bool is_partial);
