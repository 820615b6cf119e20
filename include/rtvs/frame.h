// The headers of an Ethernet frame, as far as a switch reads them. Pure; reads only [data, data +
// len), which the caller has copied out of guest memory. Every offset in the result is inside len.
// Sources: IEEE 802.3, 802.1Q; RFC 791, 8200, 826, 4861, 6980.
#pragma once

#include "rtvs/types.h"

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FRAME_MIN 14 // bytes without FCS; short frames of guests are legal
#define FRAME_WIRE_MIN 60 // without FCS; shorter ones are padded before they leave
#define FRAME_TCP_MAX 60 // bytes of a TCP header
#define FRAME_MAX_TAGS 2 // 802.1Q or 802.1ad
#define FRAME_MAX_EXT_HEADERS 8 // IPv6 extension headers before we give up
#define FRAME_MAX_ND_OPTIONS 32 // of one neighbour discovery message before we give up
#define FRAME_ETHER_VLAN 0x8100
#define FRAME_ETHER_QINQ 0x88a8
#define FRAME_ETHER_IPV4 0x0800
#define FRAME_ETHER_IPV6 0x86dd
#define FRAME_ETHER_ARP 0x0806
#define FRAME_ETHER_RARP 0x8035

// The first look: what forwarding needs. 14 or 18 bytes are read.
struct frame_l2 {
	uint64_t dst, src; // MACs as 48-bit numbers, first byte on the wire most significant
	uint16_t vlan; // VID of the outer 802.1Q tag (TPID 0x8100), 0: none or priority tag
	bool is_tagged; // has an outer 802.1Q tag, priority tags included
	uint16_t ether_type; // behind that tag; 802.3 lengths included
	uint8_t l3_offset;
};

#define FRAME_MAC_MULTICAST (UINT64_C(1) << 40)
#define FRAME_MAC_BROADCAST UINT64_C(0xffffffffffff)

static inline uint64_t
frame_load_mac(const uint8_t *p)
{
	uint32_t high;
	uint16_t low;

	memcpy(&high, p, sizeof(high));
	memcpy(&low, p + sizeof(high), sizeof(low));
	return (uint64_t)be32toh(high) << 16 | be16toh(low);
}

static inline uint64_t
frame_mac_value(const struct mac *mac)
{
	return frame_load_mac(mac->b);
}

// False: shorter than its own headers.
static inline bool
frame_parse_l2(const uint8_t *data, size_t len, struct frame_l2 *ret_l2)
{
	uint64_t src_and_type;

	if (len < FRAME_MIN)
		return false;
	memcpy(&src_and_type, data + 6, sizeof(src_and_type));
	src_and_type = be64toh(src_and_type);
	ret_l2->dst = frame_load_mac(data);
	ret_l2->src = src_and_type >> 16;
	ret_l2->ether_type = (uint16_t)src_and_type;
	ret_l2->vlan = 0;
	ret_l2->is_tagged = false;
	ret_l2->l3_offset = FRAME_MIN;
	if (ret_l2->ether_type == FRAME_ETHER_VLAN) {
		if (len < FRAME_MIN + 4)
			return false;
		ret_l2->is_tagged = true;
		ret_l2->vlan = (uint16_t)((data[14] << 8 | data[15]) & 0xfff);
		ret_l2->ether_type = (uint16_t)(data[16] << 8 | data[17]);
		ret_l2->l3_offset = FRAME_MIN + 4;
	}
	return true;
}

// The offset behind at most FRAME_MAX_TAGS tags, and the EtherType there; 0: the frame ends before.
// A further tag is such a type.
static inline size_t
frame_skip_tags(const uint8_t *data, size_t len, uint16_t *ret_type)
{
	size_t offset = FRAME_MIN;
	uint16_t type;

	if (len < offset)
		return 0;
	type = (uint16_t)(data[12] << 8 | data[13]);
	for (unsigned i = 0; i < FRAME_MAX_TAGS && (type == FRAME_ETHER_VLAN || type == FRAME_ETHER_QINQ); i++) {
		offset += 4;
		if (len < offset)
			return 0;
		type = (uint16_t)(data[offset - 2] << 8 | data[offset - 1]);
	}
	*ret_type = type;
	return offset;
}

// Are all headers that anything here reads, up to and with those of TCP and UDP, among the first n
// bytes of a frame, though it is longer? False also where they cannot be told.
bool frame_has_all_headers(const uint8_t *data, size_t n);

enum frame_kind {
	FRAME_OTHER,
	FRAME_IPV4,
	FRAME_IPV6,
	FRAME_ARP,
	FRAME_RARP // RFC 903: as ARP
};

// Neighbour discovery as far as it claims addresses (RFC 4861, section 4).
struct frame_nd {
	uint8_t type; // ICMPv6 133 to 137
	bool has_target; // NS, NA, redirect
	uint8_t target[16];
	bool has_lladdr; // source or target link-layer address option; the first one of either kind
	uint64_t lladdr;
	bool has_second_lladdr; // another one, with another value: no honest host sends that
};

// The second look: addresses, for the spoof guard, and L4, for offloads and flow hashes.
struct frame_l3 {
	enum frame_kind kind;
	bool is_malformed; // header contradicts itself or the frame's length
	bool is_fragment; // not the first fragment: has no L4 header
	bool has_more_fragments; // first fragment
	bool has_fragment_header; // IPv6: also when the fragment is the whole packet (RFC 6946)
	bool has_routing_header; // IPv6: dst may not be the one that the L4 checksum covers
	bool is_nd;
	// Too many tags, extension headers or ND options, or experimental ones, which may hide
	// anything.
	bool is_unclear;
	uint8_t proto; // of L4 (IPv6: after extension headers)
	uint16_t l4_offset; // 0: none, or no byte of it is there
	uint16_t l3_len; // header bytes, extensions included
	// 4 or 16 bytes in the frame; ARP: sender, target protocol addresses
	const uint8_t *src, *dst;
	uint64_t arp_sender_mac; // ARP
	struct frame_nd nd;
};

// l2 of the same frame. Parses from l2->l3_offset on, and looks through a second tag. Never fails:
// an unknown packet is FRAME_OTHER, a lying one has is_malformed, and then only kind is valid. The
// frame may be longer than its packet (padding); the packet may not be longer than the frame.
void frame_parse_l3(const uint8_t *data, size_t len, const struct frame_l2 *l2, struct frame_l3 *ret_l3);
// The same when only the first head_bytes of a frame of len bytes are at data: offsets are inside
// them, and a header that continues behind them is malformed.
void frame_parse_l3_head(
	const uint8_t *data, size_t head_bytes, size_t len, const struct frame_l2 *l2, struct frame_l3 *ret_l3);

// TCP segmentation of a super-frame that is linear in memory (RFC 793, RFC 8200; net/core/gso.c
// does the same).
struct frame_tso {
	uint16_t l3_offset, l4_offset, hdr_len; // hdr_len: Ethernet to the end of TCP options
	uint16_t mss; // TCP payload of a segment
	bool is_v6;
	uint32_t payload_len;
	uint32_t n_segments;
};
#define FRAME_TSO_MAX_SEGMENTS 1024
// hdr: the first hdr_bytes of the frame, all headers included. -EINVAL: not TCP over IPv4/IPv6,
// fragments, headers that do not fit, mss 0, or more than FRAME_TSO_MAX_SEGMENTS. A tag of 802.1Q
// may precede two others. Padding behind the packet is not payload. Without payload there is one
// segment.
int frame_tso_plan(const uint8_t *hdr, size_t hdr_bytes, uint32_t frame_len, uint16_t mss, struct frame_tso *ret_plan);
// Writes the headers of segment i into out (hdr_len bytes): lengths, IPv4 id and checksum,
// sequence, flags (FIN, PSH only in the last, CWR only in the first). The TCP checksum is the
// super-frame's, which is its pseudo header's sum, for the segment's length: folded, not inverted,
// so that the checksum over header and payload can be added (frame_checksum_finish). Its sender
// alone knows the destination that counts behind a routing header. i < n_segments; its payload
// starts at hdr_len + i * mss. hdr: as in plan. Returns payload bytes of the segment.
uint32_t frame_tso_header(const struct frame_tso *plan, const uint8_t *hdr, uint32_t i, uint8_t *out);

// One's complement sum of big-endian 16-bit words (RFC 1071), unfolded; `sum` chains calls, all but
// the last chunk of even length. Numbers (a length, a protocol) may be added to it. Chains of 2^32
// bytes do not overflow.
uint64_t frame_checksum_add(uint64_t sum, const uint8_t *data, size_t len);
uint16_t frame_checksum_fold(uint64_t sum); // host value to be stored big-endian; not inverted

// The value of the checksum field, to be stored big-endian. Takes the sum over L4 header and
// payload with the folded pseudo-header sum in that field, as frame_tso_header and a guest's
// VIRTIO_NET_HDR_F_NEEDS_CSUM leave it. Never 0, which would mean "no checksum" in UDP and equals
// 0xffff elsewhere.
static inline uint16_t
frame_checksum_finish(uint64_t sum)
{
	uint16_t folded = (uint16_t)~frame_checksum_fold(sum);

	return folded ? folded : 0xffff;
}
