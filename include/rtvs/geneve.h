// Geneve (RFC 8926) between daemons: Ethernet frames over UDP over IPv4 or IPv6. One option tells
// the receiver when a frame left and how much delay it may have. Pure. docs/wire.md has every byte.
// A foreign endpoint (Linux, OVS) skips the option, and frames of foreign endpoints have none.
#pragma once

#include "rtvs/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GENEVE_PORT 6081 // UDP destination
#define GENEVE_PROTOCOL 0x6558 // of what is inside: an Ethernet frame
#define GENEVE_VNI_MAX 0xffffff
#define GENEVE_CLASS_MIN 0xff00 // for experiments, to 0xffff
#define GENEVE_CLASS_DEFAULT 0xfff5 // experimental range of RFC 8926, section 7
// Our option: non-critical (top bit 0). A body of another layout gets another type.
#define GENEVE_META_TYPE 0x01
#define GENEVE_META_BYTES 36 // with its header of 4
// RFC 9197, section 4.6: 64-bit sequence number, timestamp seconds, timestamp fraction; 4.3:
// operator-assigned namespace.
#define GENEVE_IOAM_NAMESPACE 0x8000
#define GENEVE_IOAM_TYPE 0xb000
#define GENEVE_HEADER_MAX 110 // Ethernet with tag, IPv6, UDP, Geneve, our option
#define GENEVE_INNER_MIN 14 // bytes of a frame
#define GENEVE_INNER_MAX 65463 // what an IPv4 total length leaves for it
#define GENEVE_SOURCE_PORT_MIN 49152 // RFC 8926, section 3.3: dynamic ports

// The content of our option in one frame.
struct geneve_meta {
	uint64_t seq; // of this sender, flow and receiver
	uint64_t time_ns; // TAI since 1970, when the frame was handed to the NIC
	// From arrival at the sender's ingress port until then; UINT32_MAX: that or longer.
	uint32_t residence_ns;
	uint32_t deadline_ns; // relative, end to end; 0: none
	uint16_t flow; // ingress port's number at the sender
};

// One direction of a tunnel.
struct geneve_tunnel {
	bool is_ipv6;
	bool has_meta;
	// UDP checksum; RFC 6936 asks endpoints over IPv6 for one unless they know each other.
	bool has_csum;
	uint8_t hop_limit; // 1 to 255
	uint16_t vlan; // of the underlay, 0: untagged, to RTVS_VLAN_MAX
	uint16_t option_class;
	uint32_t vni; // 0 to GENEVE_VNI_MAX
	struct mac local_mac, remote_mac; // remote: the next hop's
	uint8_t local[16], remote[16]; // IPv4: the first four bytes
};

// The headers of a tunnel; fields that differ from frame to frame are 0. Immutable: any number of
// threads may use it.
struct geneve_template {
	uint8_t bytes[GENEVE_HEADER_MAX];
	uint8_t len; // of headers
	uint8_t l3_offset, udp_offset;
	uint8_t meta_offset; // of our option; 0: none
	bool is_ipv6, has_csum;
	uint16_t ipv4_sum; // of the IPv4 header in bytes, folded, not inverted
	uint16_t pseudo_sum; // of addresses and protocol, likewise
};

// -EINVAL: a field outside its range.
int geneve_template_init(struct geneve_template *t, const struct geneve_tunnel *tunnel);

// Writes t->len bytes of headers to out; the frame of inner_len bytes, GENEVE_INNER_MIN to
// GENEVE_INNER_MAX, is to follow them. IPv4 identification 0 with DF (RFC 6864), IPv6 flow label
// from source_port (RFC 6438). UDP checksum 0 (RFC 8926, section 3.3; RFC 6935 and 6936 for IPv6),
// or with has_csum the folded sum of the pseudo-header, which devices complete. tos:
// geneve_outer_tos. deadline_ns and flow, as in geneve_meta, count when the tunnel has our option.
// geneve_patch_meta writes the rest of the option.
void geneve_push(const struct geneve_template *t, uint8_t *out, size_t inner_len, uint16_t source_port, uint8_t tos,
	uint32_t deadline_ns, uint16_t flow);
// Completes the UDP checksum of headers that geneve_push made from t, in front of their frame.
void geneve_finish_checksum(uint8_t *headers, const struct geneve_template *t, size_t inner_len);
// Writes the fields that are known only just before transmission into headers that geneve_push made
// from t; again if need be. Does nothing when the tunnel has no option. has_whole_csum: the UDP
// checksum is complete, and is kept right.
void geneve_patch_meta(uint8_t *headers, const struct geneve_template *t, uint64_t seq, uint64_t time_ns,
	uint64_t residence_ns, bool has_whole_csum);

// What frames of one sender that leave together have in common: t with these fields in it. t has
// no UDP checksum. The result is for geneve_push_run.
void geneve_run_init(struct geneve_template *run, const struct geneve_template *t, uint64_t time_ns,
	uint64_t residence_ns, uint32_t deadline_ns, uint16_t flow);
// As geneve_push and geneve_patch_meta of the template and the fields that the run was made of.
void geneve_push_run(const struct geneve_template *run, uint8_t *out, size_t inner_len, uint16_t source_port,
	uint8_t tos, uint64_t seq);

// A UDP source port, GENEVE_SOURCE_PORT_MIN to 65535, that is the same for all packets of an inner
// flow. It spreads flows over paths and receive queues. It depends on MACs, EtherType behind at
// most FRAME_MAX_TAGS tags, IP addresses, protocol and the ports of TCP, UDP and SCTP. Fragments
// count without ports, so all fragments of a packet take one path. Any bytes are a frame.
uint16_t geneve_source_port(const uint8_t *frame, size_t len);

enum geneve_result {
	GENEVE_OK,
	// Not UDP to GENEVE_PORT over IP: pass it on. Also later fragments, and IPv6 extension
	// headers.
	GENEVE_NOT_OURS,
	// Lengths that contradict each other or the frame, or an invalid option of ours.
	GENEVE_MALFORMED,
	GENEVE_FRAGMENT, // RFC 8926, section 4.1 keeps endpoints from making any
	GENEVE_IP_CHECKSUM,
	GENEVE_UDP_CHECKSUM, // there is one, and it is wrong
	GENEVE_VERSION, // other than 0
	GENEVE_CONTROL, // O bit: a message for the endpoint, not to be forwarded
	GENEVE_PROTOCOL_TYPE, // no Ethernet frame inside
	GENEVE_INNER_SHORT, // below GENEVE_INNER_MIN
	// The packet is right, but has critical options: only endpoints that know them may skip
	// them (geneve_ignore).
	GENEVE_CRITICAL,
	GENEVE_RESULT_COUNT
};

struct geneve_packet {
	const uint8_t *src, *dst; // outer addresses in the frame, 4 or 16 bytes
	bool is_ipv6;
	bool has_meta;
	uint8_t tos; // outer
	uint8_t n_options; // ours included
	uint8_t options_len; // bytes, which end where the frame begins
	uint16_t vlan; // of the underlay, as in frame_l2
	uint16_t source_port;
	uint16_t inner_offset, inner_len; // inside of data; what is behind them is padding
	uint32_t vni;
	struct geneve_meta meta; // if has_meta
};

// data: a frame from the underlay, untagged or with one 802.1Q tag. near_ns: TAI now, below 2^63;
// the option's 32-bit seconds are those within 68 years of it. The caller checks source,
// destination and VNI of the packet. ret_packet is valid only after GENEVE_OK and GENEVE_CRITICAL.
enum geneve_result geneve_parse(
	const uint8_t *data, size_t len, uint64_t near_ns, uint16_t option_class, struct geneve_packet *ret_packet);

// data: the first n bytes of a longer frame. True: geneve_parse of the whole frame reads no others,
// and what it finds inside has GENEVE_INNER_MIN of them.
bool geneve_is_in_head(const uint8_t *data, size_t n);

// ECN of tunnels, RFC 6040, normal mode, and DSCP of tunnels, RFC 2983, pipe model. inner_tos: of
// the frame, 0 for packets other than IP.
static inline uint8_t
geneve_outer_tos(uint8_t inner_tos, uint8_t dscp)
{
	return (uint8_t)(dscp << 2 | (inner_tos & 3));
}

// The inner ECN field, 0 to 3, after decapsulation (RFC 6040, section 4.2, figure 4). False: the
// packet met congestion and does not support ECN: drop it. Only bits 1 and 0 of either argument
// count.
bool geneve_inner_ecn(uint8_t outer_ecn, uint8_t inner_ecn, uint8_t *ret_ecn);
