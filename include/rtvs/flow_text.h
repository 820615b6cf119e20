// Rules as people write them, in the words of Open vSwitch's flows (ovs-fields(7), ovs-actions(7)):
//   priority=100,tcp,nw_dst=10.1.0.0/16,tp_dst=443,actions=allow
// Pure.
#pragma once

#include "rtvs/flow_set.h"
#include "rtvs/types.h"

#define FLOW_TEXT_SIZE 1280 // of any rule that was parsed, with the terminating NUL
#define FLOW_TEXT_ERROR_SIZE 256
#define FLOW_PRIORITY_DEFAULT 32768
#define FLOW_PRIORITY_MAX 65535
#define FLOW_RATE_MIN UINT64_C(8000) // bit/s
#define FLOW_RATE_MAX UINT64_C(400000000000)

// Names of the ports that rules may output to.
struct flow_text_ports {
	// False: there is none.
	bool (*find)(const void *arg, const char *name, uint16_t *ret_number);
	// Of a number that find gave. Returns buf.
	const char *(*name)(const void *arg, uint16_t number, char buf[RTVS_NAME_SIZE]);
	const void *arg;
};

// Of an eswitch: vf0 to vf63 are 0 to 63, and uplink is FLOW_TEXT_UPLINK.
extern const struct flow_text_ports flow_text_vfs;
#define FLOW_TEXT_VFS 64
#define FLOW_TEXT_UPLINK FLOW_TEXT_VFS

// Match fields, `priority=` and last `actions=`, with commas between: `rate:10Mbit`,
// `mod_FIELD:VALUE`, `strip_vlan`, `push_vlan:VID` or `push_vlan:VID/PRIORITY`, and at the end
// `allow`, `drop`, or one to FLOW_OUTPUTS_MAX times `output:PORT`. A field needs those that say
// that a packet has it: tp_dst needs tcp, udp or sctp. ports: NULL, no rule outputs. -EINVAL with
// err, which names the field.
int flow_text_parse(const char *text, const struct flow_text_ports *ports, struct flow_entry *ret_rule,
	char err[FLOW_TEXT_ERROR_SIZE]);
// What flow_text_parse reads back. Returns buf.
const char *flow_text_format(
	const struct flow_entry *rule, const struct flow_text_ports *ports, char buf[FLOW_TEXT_SIZE]);
