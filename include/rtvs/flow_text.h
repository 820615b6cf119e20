// Rules as people write them, in the words of Open vSwitch's flows (ovs-fields(7), ovs-actions(7)):
//   priority=100,tcp,nw_dst=10.1.0.0/16,tp_dst=443,actions=allow
// Pure.
#pragma once

#include "rtvs/flow_set.h"

#define FLOW_TEXT_SIZE 768 // of any rule that was parsed, with the terminating NUL
#define FLOW_TEXT_ERROR_SIZE 256
#define FLOW_PRIORITY_DEFAULT 32768
#define FLOW_PRIORITY_MAX 65535

enum flow_verdict {
	FLOW_DROP,
	FLOW_ALLOW // on as without rules
};

struct flow_action {
	enum flow_verdict verdict;
	struct flow_set set; // before that; no bit in its mask: nothing
};

struct flow_text {
	struct flow_rule rule; // slot 0
	struct flow_action action;
};

// Match fields, `priority=` and last `actions=`, with commas between. A field needs those that say
// that a packet has it: tp_dst needs tcp, udp or sctp. -EINVAL with err, which names the field.
int flow_text_parse(const char *text, struct flow_text *ret_rule, char err[FLOW_TEXT_ERROR_SIZE]);
// What flow_text_parse reads back. Returns buf.
const char *flow_text_format(const struct flow_text *rule, char buf[FLOW_TEXT_SIZE]);
