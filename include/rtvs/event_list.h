// All events. A row makes the datapath's enum dp_event_type, the name that subscribers know and
// the text of docs/rpc.md. Some events happen in the control plane only.
#pragma once

// clang-format off
// X(DP_EVENT_ID, name, when it is sent)
#define EVENT_LIST(X) \
	X(PORT_ADD,       "port.add",       "a port was made") \
	X(PORT_SET,       "port.set",       "a port was changed") \
	X(PORT_DEL,       "port.del",       "a port was removed") \
	X(DRAINED,        "port.drained",   "a removed port is closed that packets waited for; dropped: those that did not leave within 100 ms") \
	X(BRIDGE_ADD,     "bridge.add",     "a bridge was made") \
	X(BRIDGE_SET,     "bridge.set",     "a bridge was changed") \
	X(BRIDGE_DEL,     "bridge.del",     "a bridge was removed") \
	X(SYSTEM_SET,     "system.set",     "the system's parameters were changed") \
	X(CONFIG_APPLY,   "config.apply",   "a configuration was applied") \
	X(CONNECT,        "port.connect",   "a front-end connected or disconnected") \
	X(LINK,           "port.link",      "a port's link went up or down; detail: why") \
	X(REFUSED,        "port.refused",   "a process wanted a guest's port that another has") \
	X(HOLD,           "port.held",      "a slower device (by) holds a guest's port back; once in 10 s for the same two ports") \
	X(PATH_MTU,       "port.path_mtu",  "a router reported a smaller MTU for a tunnel (lowered), or such a report was forgotten after 10 minutes") \
	X(MAC_LIMIT,      "mac.limit",      "a port or a bridge reached its limit of MACs") \
	X(MAC_MOVES,      "mac.moves",      "more MACs a second move between a bridge's ports than its mac_moves; at most once a minute") \
	X(GUEST_ERROR,    "guest.error",    "a guest or its QEMU broke the protocol") \
	X(FLOW_SHORTENED, "flow.shortened", "packets come late at another host: they leave sooner here") \
	X(FLOW_RAISED,    "flow.raised",    "packets that come late have a higher DSCP") \
	X(FLOW_ESCALATED, "flow.escalated", "packets come late still, and nothing is left to do here") \
	X(FLOW_RELAXED,   "flow.relaxed",   "one of these steps was taken back") \
	X(FLOW_RECOVERED, "flow.recovered", "all of these steps were taken back") \
	X(STALL,          "worker.stall",   "another thread had a worker's CPU") \
	X(CAPTURE_END,    "capture.end",    "a capture ended, and why")
// clang-format on
