// Every reason for which a packet is not delivered. One line here makes the enum, the name in RPC
// results and metrics, the counter and its place in the conservation test:
// rx + replicated == tx + queued + to_daemon + sum(drops), over all ports, those removed included.
#pragma once

#include <stdint.h>

// clang-format off
// X(enum, name, what it means; "ingress" reasons count on the port that sent, "egress" ones on the
// port that should have received)
#define DROP_LIST(X) \
	X(DROP_MALFORMED,     "malformed",      "ingress: frame too short, or headers that contradict each other") \
	X(DROP_PORT_DOWN,     "port_down",      "ingress: the port is administratively down") \
	X(DROP_NO_BRIDGE,     "no_bridge",      "ingress: the port belongs to no bridge") \
	X(DROP_VLAN_INGRESS,  "vlan_ingress",   "ingress: tagged on an access port, or a VLAN the trunk does not carry") \
	X(DROP_SPOOF_MAC,     "spoof_mac",      "ingress: source MAC is not allowed on the port") \
	X(DROP_SPOOF_IP,      "spoof_ip",       "ingress: source IP is not allowed on the port") \
	X(DROP_SPOOF_ARP,     "spoof_arp",      "ingress: ARP or RARP sender is not allowed on the port") \
	X(DROP_SPOOF_ND,      "spoof_nd",       "ingress: neighbour discovery claims an address not allowed on the port") \
	X(DROP_SPOOF_TYPE,    "spoof_type",     "ingress: only IP, ARP and RARP may leave a port with allowed IPs") \
	X(DROP_RULE,          "rule",           "ingress: a rule of the port says so") \
	X(DROP_RULE_RATE,     "rule_rate",      "ingress: above the rate of the port's rule for it") \
	X(DROP_REWRITE,       "rewrite",        "ingress: a rule of the port writes into headers that this frame has not, or not whole") \
	X(DROP_MISS_LIMIT,    "miss_limit",     "ingress: no rule of its guest is for it, and the guest's kernel takes no more such packets a second") \
	X(DROP_COPY,          "copy",           "ingress: a copy that shows a guest's kernel that a flow lives, and has done so") \
	X(DROP_MAC_STATIC,    "mac_static",     "ingress: source MAC is a static entry or in allowed_macs of another port") \
	X(DROP_MAC_LIMIT,     "mac_limit",      "ingress: the port has its limit of learned MACs") \
	X(DROP_RESERVED_MAC,  "reserved_mac",   "ingress: sent to 01:80:c2:00:00:0x, and the port does not forward them; PAUSE never") \
	X(DROP_SAME_PORT,     "same_port",      "ingress: the destination is the port it came from") \
	X(DROP_ISOLATED,      "isolated",       "ingress: sender and receiver are both isolated") \
	X(DROP_FLOOD_LIMIT,   "flood_limit",    "ingress: broadcast or unknown destination above the port's flood rate") \
	X(DROP_NO_TARGET,     "no_target",      "ingress: nobody else on the bridge and VLAN to receive it") \
	X(DROP_MIRROR_PORT,   "mirror_port",    "ingress: sent by a port that only receives mirrored packets") \
	X(DROP_TUNNEL_MALFORMED, "tunnel_malformed", "ingress: Geneve whose lengths contradict each other") \
	X(DROP_TUNNEL_CHECKSUM, "tunnel_checksum", "ingress: Geneve with a wrong checksum of IP or UDP") \
	X(DROP_TUNNEL_FRAGMENT, "tunnel_fragment", "ingress: a fragment of Geneve: the network between the hosts is too narrow") \
	X(DROP_TUNNEL_VERSION, "tunnel_version", "ingress: Geneve of another version than 0") \
	X(DROP_TUNNEL_CONTROL, "tunnel_control", "ingress: Geneve with the O flag: a message for an endpoint that speaks more of it") \
	X(DROP_TUNNEL_PROTOCOL, "tunnel_protocol", "ingress: Geneve without an Ethernet frame inside") \
	X(DROP_TUNNEL_OPTION, "tunnel_option",  "ingress: Geneve with a critical option that is not known") \
	X(DROP_NO_TUNNEL,     "no_tunnel",      "ingress: Geneve from a host, or with a VNI, that no tunnel has") \
	X(DROP_NOT_OURS,      "not_ours",       "ingress: neither a tunnel's nor for the daemon") \
	X(DROP_DAEMON_BUSY,   "daemon_busy",    "ingress: for the daemon itself, which gets 2,000 such packets a second of a port at most") \
	X(DROP_ECN,           "ecn",            "ingress: congestion was met on the way, and the frame cannot say so (RFC 6040)") \
	X(DROP_NO_BUFFER,     "no_buffer",      "ingress: no packet buffer for a copy or a segment") \
	X(DROP_NO_NEIGHBOR,   "no_neighbor",    "egress: the next hop's MAC address is not known") \
	X(DROP_NO_NODE,       "no_node",        "egress: no node of the segment has the address, and none takes unknown ones") \
	X(DROP_VLAN_EGRESS,   "vlan_egress",    "egress: the receiving port does not carry the VLAN") \
	X(DROP_MTU,           "mtu",            "egress: frame longer than the receiving port's MTU") \
	X(DROP_UNFRAGMENTABLE, "unfragmentable", "egress: longer than a tunnel takes, not to be fragmented, and nobody to tell: no IP, or wrong headers") \
	X(DROP_OFFLOAD,       "offload",        "egress: checksum or segmentation needed that these headers do not allow; on the sender: asked for") \
	X(DROP_LINK_DOWN,     "link_down",      "egress: nobody is connected to the receiving port") \
	X(DROP_HANDOFF_FULL,  "handoff_full",   "egress: the ring to the worker that owns the port is full") \
	X(DROP_TX_FULL,       "tx_full",        "egress: the receiver's ring or device queue is full") \
	X(DROP_TX_TIMEOUT,    "tx_timeout",     "egress: next to leave, and the receiver took nothing for 200 ms") \
	X(DROP_TX_ERROR,      "tx_error",       "egress: the device took it and says that it was not sent") \
	X(DROP_REFUSED,       "refused",        "egress: the receiver's ring or device never takes it, for example longer than its buffers") \
	X(DROP_NOT_TAKEN_OVER, "not_taken_over", "egress: it waited when another process took over, which had no place or buffer for it") \
	X(DROP_QUEUE_FULL,    "queue_full",     "egress: the sender has its limit of packets queued at the port") \
	X(DROP_AQM,           "aqm",            "egress: the sender's packets waited too long for the port's rate: its senders shall slow down") \
	X(DROP_LATE,          "late",           "egress: the deadline had passed, and the sender's port says late=drop") \
	X(DROP_PORT_GONE,     "port_gone",      "egress: the port was removed before the packet left")
// clang-format on

enum drop {
#define X(id, name, text) id,
	DROP_LIST(X)
#undef X
	DROP_COUNT,
	DROP_NONE = DROP_COUNT, // "not dropped", as the result of a check
};

extern const char *const drop_names[DROP_COUNT];
extern const char *const drop_texts[DROP_COUNT];
