// What a rule does with a frame, and what it writes into its headers. Pure. Lengths stay: a tag is
// put or taken by who has the buffer. Checksums are brought up to date by the difference (RFC
// 1624), so a wrong one stays wrong.
#pragma once

#include "rtvs/flow_key.h"

#include <stdbool.h>

struct flow_set {
	struct flow_key value, mask; // no bit of the value is outside the mask
};

enum flow_verdict {
	FLOW_DROP,
	FLOW_ALLOW // on as without rules
};

struct flow_action {
	enum flow_verdict verdict;
	uint64_t rate_bps; // what is above it is dropped; 0: no limit
	struct flow_set set; // before the verdict; no bit in its mask: nothing
};

// A rule with what it does.
struct flow_entry {
	struct flow_rule rule;
	struct flow_action action;
};

// -EINVAL: a value outside the mask, or a field that cannot be set: only addresses, TOS, TTL, ports
// and a tag's priority and VID can.
int flow_set_check(const struct flow_set *set);
// Of a frame of len bytes, whose first n_head ones are at data. Fields that the frame does not have
// are left out. is_partial: the L4 checksum has only the pseudo
// header's sum, as a guest leaves it to the device (virtio 1.2, 5.1.6.2). False, and nothing is
// written: the frame's headers lie; its L4 checksum cannot be brought up to date (ports of SCTP; an
// address behind a routing header); or not all of these headers are among the first bytes.
bool flow_set_apply(const struct flow_set *set, uint8_t *data, size_t n_head, size_t len, bool is_partial);
