// Rules as people write them, in the words of Open vSwitch's flows (ovs-fields(7), ovs-actions(7)):
//   priority=100,tcp,nw_dst=10.1.0.0/16,tp_dst=443,actions=allow
// Pure.
#pragma once

#include "rtvs/flow_set.h"

#define FLOW_TEXT_SIZE 768 // of any rule that was parsed, with the terminating NUL
#define FLOW_TEXT_ERROR_SIZE 256
#define FLOW_PRIORITY_DEFAULT 32768
#define FLOW_PRIORITY_MAX 65535
#define FLOW_RATE_MIN UINT64_C(8000) // bit/s
#define FLOW_RATE_MAX UINT64_C(400000000000)

// Match fields, `priority=` and last `actions=`, with commas between: `rate:10Mbit`,
// `mod_FIELD:VALUE` and at the end `allow` or `drop`. A field needs those that say that a packet
// has it: tp_dst needs tcp, udp or sctp. -EINVAL with err, which names the field.
int flow_text_parse(const char *text, struct flow_entry *ret_rule, char err[FLOW_TEXT_ERROR_SIZE]);
// What flow_text_parse reads back. Returns buf.
const char *flow_text_format(const struct flow_entry *rule, char buf[FLOW_TEXT_SIZE]);
