// The plan of rtvs/fragment.h. frame.c finds the packet.
// Invariant: fragments are at most as long as the mtu, and all but the last carry a multiple of 8
// bytes. Their payloads are the packet's, each byte once. O(header) for the plan and for each
// fragment.
#include "rtvs/fragment.h"

#include "bytes.h"
#include "ip.h"

#include <errno.h>

#define MORE_FRAGMENTS 0x2000
#define OFFSET_MASK 0x1fff
#define UNIT 8 // of offsets
#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_COPIED 0x80

_Static_assert(FRAME_MIN + FRAME_MAX_TAGS * 4 + 60 == FRAGMENT_HEADERS_MAX, "FRAGMENT_HEADERS_MAX holds all headers");

// The header of the fragments after the first: with the copied options (RFC 791, section 3.1),
// padded with end of options.
static bool
copy_options(const uint8_t *ip, struct fragment_plan *plan)
{
	size_t len, to = IP_V4_BYTES;

	memset(plan->later, OPTION_END, sizeof(plan->later));
	memcpy(plan->later, ip, IP_V4_BYTES);
	for (size_t at = IP_V4_BYTES; at < plan->header_len && ip[at] != OPTION_END; at += len) {
		len = 1;
		if (ip[at] == OPTION_NOP)
			continue;
		len = at + 1 < plan->header_len ? ip[at + 1] : 0;
		if (len < 2 || len > plan->header_len - at)
			return false;
		if (!(ip[at] & OPTION_COPIED))
			continue;
		memcpy(plan->later + to, ip + at, len);
		to += len;
	}
	plan->later_len = (uint8_t)((to + 3) / 4 * 4);
	plan->later[0] = (uint8_t)(0x40 | plan->later_len / 4);
	return true;
}

static int
plan_ipv4(const uint8_t *ip, uint32_t mtu, struct fragment_plan *plan)
{
	uint16_t flags = bytes_load16(ip + 6);
	uint32_t n;

	plan->header_len = (uint8_t)((ip[0] & 15) * 4);
	plan->payload_len = (uint16_t)(bytes_load16(ip + 2) - plan->header_len);
	plan->offset = flags & OFFSET_MASK;
	plan->has_more = flags & MORE_FRAGMENTS ? 1 : 0;
	if (flags & IP_V4_DF)
		return -EMSGSIZE;
	// A wrong packet must not become a right one, and no fragment may end beyond the largest
	// possible packet.
	if (frame_checksum_fold(frame_checksum_add(0, ip, plan->header_len)) != 0xffff || !copy_options(ip, plan) ||
		plan->offset * UNIT + (uint32_t)plan->payload_len + plan->header_len > UINT16_MAX ||
		(plan->has_more && plan->payload_len % UNIT))
		return -EBADMSG;
	if (mtu < (uint32_t)plan->header_len + UNIT)
		return -E2BIG;
	plan->piece = (uint16_t)((mtu < UINT16_MAX ? mtu : UINT16_MAX) - plan->header_len) / UNIT * UNIT;
	n = plan->payload_len ? (plan->payload_len + plan->piece - 1u) / plan->piece : 1;
	if (n > FRAGMENT_MAX)
		return -E2BIG;
	plan->n = (uint16_t)n;
	return 0;
}

int
fragment_plan(const uint8_t *hdr, size_t hdr_bytes, size_t frame_len, uint32_t mtu, struct fragment_plan *ret_plan)
{
	struct frame_l2 l2;
	struct frame_l3 l3;
	const uint8_t *ip;

	if (!frame_parse_l2(hdr, hdr_bytes, &l2))
		return -EPROTO;
	frame_parse_l3_head(hdr, hdr_bytes, frame_len, &l2, &l3);
	if (l3.kind == FRAME_IPV6)
		return -EMSGSIZE;
	if (l3.kind != FRAME_IPV4)
		return -EPROTO;
	if (l3.is_malformed)
		return -EBADMSG;
	ip = l3.src - 12;
	ret_plan->l3_offset = (uint16_t)(ip - hdr);
	return plan_ipv4(ip, mtu, ret_plan);
}

size_t
fragment_header(const struct fragment_plan *plan, const uint8_t *hdr, uint16_t i, uint8_t out[FRAGMENT_HEADERS_MAX],
	size_t *ret_offset, uint16_t *ret_len)
{
	uint8_t len = i ? plan->later_len : plan->header_len, *ip = out + plan->l3_offset;
	uint32_t begin = (uint32_t)i * plan->piece;
	bool is_last = i + 1 == plan->n;

	*ret_offset = (size_t)plan->l3_offset + plan->header_len + begin;
	*ret_len = is_last ? (uint16_t)(plan->payload_len - begin) : plan->piece;
	memcpy(out, hdr, plan->l3_offset);
	memcpy(ip, i ? plan->later : hdr + plan->l3_offset, len);
	bytes_store16(ip + 2, (uint16_t)(len + *ret_len));
	bytes_store16(
		ip + 6, (uint16_t)((is_last && !plan->has_more ? 0 : MORE_FRAGMENTS) | (plan->offset + begin / UNIT)));
	bytes_store16(ip + 10, 0);
	bytes_store16(ip + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, ip, len)));
	return (size_t)plan->l3_offset + len;
}
