// The headers of one frame: addresses for the spoof guard, L4 for offloads and hashes. frame_tso.c
// builds on it.
// Invariant: no byte outside [data, data + head) is read, and every offset in a result is below
// head. All loops are bounded by FRAME_MAX_TAGS, FRAME_MAX_EXT_HEADERS and FRAME_MAX_ND_OPTIONS.
// Bytes that a receiver could read as a header are never skipped silently: bytes that were not
// parsed set is_unclear.
#include "rtvs/frame.h"

#include <string.h>

#define IPV4_MIN 20
#define IPV6_MIN 40
#define ARP_BYTES 28
#define PROTO_HOP_BY_HOP 0
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_AH 51
#define PROTO_ICMPV6 58
#define PROTO_NO_NEXT 59
#define PROTO_DST_OPTIONS 60
#define PROTO_MOBILITY 135
#define PROTO_HIP 139
#define PROTO_SHIM6 140
#define PROTO_TEST_1 253 // RFC 3692; may be extension headers
#define PROTO_TEST_2 254
#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERT 134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_REDIRECT 137

// The bytes of a packet: those of [0, head) can be read, those of [head, end) belong to the packet,
// too.
struct span {
	const uint8_t *data;
	size_t head, end;
};

static uint16_t
load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static bool
span_has(const struct span *s, size_t offset, size_t len)
{
	size_t limit = s->head < s->end ? s->head : s->end;

	return offset <= limit && limit - offset >= len;
}

// The packet ends where its own length field says, if the frame is that long.
static bool
span_cut(struct span *s, size_t end)
{
	if (end > s->end)
		return false;
	s->end = end;
	return true;
}

// Link-layer options: type, length in 8 bytes, address. RFC 4861, section 4.6.
static bool
parse_nd_options(const struct span *s, size_t offset, struct frame_l3 *l3)
{
	for (unsigned i = 0; i < FRAME_MAX_ND_OPTIONS && offset < s->end; i++) {
		if (!span_has(s, offset, 8) || !s->data[offset + 1])
			return false;
		uint8_t type = s->data[offset];
		size_t len = (size_t)s->data[offset + 1] * 8;

		if (!span_has(s, offset, len))
			return false;
		if (type == 1 || type == 2) {
			uint64_t lladdr = frame_load_mac(s->data + offset + 2);

			if (len != 8) // Ethernet's are 8 bytes (RFC 2464, section 6)
				return false;
			if (!l3->nd.has_lladdr)
				l3->nd.lladdr = lladdr;
			else if (l3->nd.lladdr != lladdr)
				l3->nd.has_second_lladdr = true;
			l3->nd.has_lladdr = true;
		}
		offset += len;
	}
	l3->is_unclear |= offset < s->end;
	return true;
}

static bool
parse_icmpv6(const struct span *s, size_t offset, struct frame_l3 *l3)
{
	// Indexed by type - ND_ROUTER_SOLICIT: where the options start.
	static const uint8_t options_at[] = {8, 16, 24, 24, 40};

	if (!span_has(s, offset, 1))
		return false;
	uint8_t type = s->data[offset];
	if (type < ND_ROUTER_SOLICIT || type > ND_REDIRECT)
		return true;
	l3->is_nd = true;
	l3->nd.type = type;
	if (!span_has(s, offset, options_at[type - ND_ROUTER_SOLICIT]))
		return false;
	if (type >= ND_NEIGHBOUR_SOLICIT) {
		l3->nd.has_target = true;
		memcpy(l3->nd.target, s->data + offset + 8, sizeof(l3->nd.target));
	}
	// The rest of a fragmented message is elsewhere; that it is ND is all that can be said.
	return l3->has_more_fragments || parse_nd_options(s, offset + options_at[type - ND_ROUTER_SOLICIT], l3);
}

static bool
proto_is_extension(uint8_t proto)
{
	switch (proto) {
	case PROTO_HOP_BY_HOP:
	case PROTO_ROUTING:
	case PROTO_FRAGMENT:
	case PROTO_AH:
	case PROTO_DST_OPTIONS:
	case PROTO_MOBILITY:
	case PROTO_HIP:
	case PROTO_SHIM6:
		return true;
	default:
		return false;
	}
}

// Walks to the upper-layer header or to the end of a fragment's visible part. RFC 8200, section 4;
// RFC 7112: all headers are in the first fragment, so a chain that leaves it is as malformed as one
// that leaves the packet.
static bool
parse_extensions(const struct span *s, size_t *offset, struct frame_l3 *l3)
{
	for (unsigned i = 0; proto_is_extension(l3->proto) && !l3->is_fragment; i++) {
		if (i == FRAME_MAX_EXT_HEADERS) {
			l3->is_unclear = true;
			return true;
		}
		if (!span_has(s, *offset, 8))
			return false;
		const uint8_t *header = s->data + *offset;
		size_t len = (size_t)(header[1] + 1) * 8;

		if (l3->proto == PROTO_FRAGMENT) {
			len = 8;
			l3->has_fragment_header = true;
			l3->is_fragment = load16(header + 2) >> 3;
			l3->has_more_fragments = !l3->is_fragment && (header[3] & 1);
		} else if (l3->proto == PROTO_AH) {
			len = (size_t)(header[1] + 2) * 4;
		} else if (l3->proto == PROTO_ROUTING) {
			l3->has_routing_header = true;
		}
		if (!span_has(s, *offset, len))
			return false;
		l3->proto = header[0];
		*offset += len;
	}
	l3->is_unclear |= l3->proto == PROTO_TEST_1 || l3->proto == PROTO_TEST_2;
	return true;
}

static bool
parse_ipv6(struct span *s, size_t offset, struct frame_l3 *l3)
{
	const uint8_t *header = s->data + offset;
	size_t next = offset + IPV6_MIN;

	l3->kind = FRAME_IPV6;
	if (!span_has(s, offset, IPV6_MIN) || header[0] >> 4 != 6 || !span_cut(s, next + load16(header + 4)))
		return false;
	l3->src = header + 8;
	l3->dst = header + 24;
	l3->proto = header[6];
	if (!parse_extensions(s, &next, l3))
		return false;
	l3->l3_len = (uint16_t)(next - offset);
	if (l3->is_fragment || l3->is_unclear || l3->proto == PROTO_NO_NEXT)
		return true;
	if (span_has(s, next, 1))
		l3->l4_offset = (uint16_t)next;
	else if (l3->has_more_fragments)
		return false;
	return l3->proto != PROTO_ICMPV6 || parse_icmpv6(s, next, l3);
}

static bool
parse_ipv4(struct span *s, size_t offset, struct frame_l3 *l3)
{
	const uint8_t *header = s->data + offset;

	l3->kind = FRAME_IPV4;
	if (!span_has(s, offset, IPV4_MIN) || header[0] >> 4 != 4)
		return false;
	size_t header_len = (size_t)(header[0] & 15) * 4;
	size_t total_len = load16(header + 2);
	uint16_t fragment = load16(header + 6);

	if (header_len < IPV4_MIN || !span_has(s, offset, header_len) || total_len < header_len ||
		!span_cut(s, offset + total_len))
		return false;
	l3->src = header + 12;
	l3->dst = header + 16;
	l3->proto = header[9];
	l3->l3_len = (uint16_t)header_len;
	l3->is_fragment = fragment & 0x1fff;
	l3->has_more_fragments = !l3->is_fragment && (fragment & 0x2000);
	if (!l3->is_fragment && span_has(s, offset + header_len, 1))
		l3->l4_offset = (uint16_t)(offset + header_len);
	return true;
}

// Ethernet and IPv4 (RFC 826): others are not spoken here.
static bool
parse_arp(const struct span *s, size_t offset, enum frame_kind kind, struct frame_l3 *l3)
{
	static const uint8_t ethernet_ipv4[] = {0, 1, 8, 0, 6, 4};
	const uint8_t *arp = s->data + offset;

	l3->kind = kind;
	if (!span_has(s, offset, ARP_BYTES) || memcmp(arp, ethernet_ipv4, sizeof(ethernet_ipv4)) != 0)
		return false;
	l3->l3_len = ARP_BYTES;
	l3->arp_sender_mac = frame_load_mac(arp + 8);
	l3->src = arp + 14;
	l3->dst = arp + 24;
	return true;
}

static bool
type_is_tag(uint16_t ether_type)
{
	return ether_type == FRAME_ETHER_VLAN || ether_type == FRAME_ETHER_QINQ;
}

static bool
parse_type(struct span *s, const struct frame_l2 *l2, struct frame_l3 *l3)
{
	uint16_t type = l2->ether_type;
	size_t offset = l2->l3_offset;

	for (unsigned n_tags = l2->is_tagged; n_tags < FRAME_MAX_TAGS && type_is_tag(type); n_tags++) {
		if (!span_has(s, offset, 4))
			return false;
		type = load16(s->data + offset + 2);
		offset += 4;
	}
	switch (type) {
	case FRAME_ETHER_IPV4:
		return parse_ipv4(s, offset, l3);
	case FRAME_ETHER_IPV6:
		return parse_ipv6(s, offset, l3);
	case FRAME_ETHER_ARP:
		return parse_arp(s, offset, FRAME_ARP, l3);
	case FRAME_ETHER_RARP:
		return parse_arp(s, offset, FRAME_RARP, l3);
	default:
		l3->is_unclear = type_is_tag(type);
		return true;
	}
}

void
frame_parse_l3_head(
	const uint8_t *data, size_t head_bytes, size_t len, const struct frame_l2 *l2, struct frame_l3 *ret_l3)
{
	struct span s = {data, head_bytes, len};

	*ret_l3 = (struct frame_l3){.kind = FRAME_OTHER};
	ret_l3->is_malformed = !parse_type(&s, l2, ret_l3);
}

void
frame_parse_l3(const uint8_t *data, size_t len, const struct frame_l2 *l2, struct frame_l3 *ret_l3)
{
	frame_parse_l3_head(data, len, len, l2, ret_l3);
}

bool
frame_has_all_headers(const uint8_t *data, size_t n)
{
	uint16_t type;
	size_t offset = frame_skip_tags(data, n, &type);

	if (!offset)
		return false;
	switch (type) {
	case FRAME_ETHER_IPV4:
		return offset < n && offset + (data[offset] & 15) * 4u + FRAME_TCP_MAX <= n;
	case FRAME_ETHER_IPV6: // of others there may be extension headers, or options of any length
		return offset + IPV6_MIN + FRAME_TCP_MAX <= n &&
			(data[offset + 6] == PROTO_TCP || data[offset + 6] == PROTO_UDP);
	default:
		return n >= offset + ARP_BYTES;
	}
}

// Sums words in the machine's byte order, four bytes at a time, and swaps the folded result at the
// end: the order of bytes does not matter to a one's complement sum (RFC 1071, section 2 B).
// Bound: 2^30 words below 2^32 in two sums, 2^63.
uint64_t
frame_checksum_add(uint64_t sum, const uint8_t *data, size_t len)
{
	uint64_t even = 0;
	uint64_t odd = 0;
	uint64_t word;

	for (; len >= 8; data += 8, len -= 8) {
		memcpy(&word, data, 8);
		even += (uint32_t)word;
		odd += word >> 32;
	}
	// A copy of any length would be a call, and its bytes could not yet be loaded as one word.
	if (len & 4) {
		uint32_t half;

		memcpy(&half, data, sizeof(half));
		even += half;
		data += sizeof(half);
	}
	if (len & 2) {
		uint16_t quarter;

		memcpy(&quarter, data, sizeof(quarter));
		even += quarter;
		data += sizeof(quarter);
	}
	if (len & 1)
		odd += htole16(*data);
	return sum + __builtin_bswap16(frame_checksum_fold(even + odd));
}

uint16_t
frame_checksum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}
