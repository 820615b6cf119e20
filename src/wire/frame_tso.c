// TCP segmentation in software: the segments that a NIC with TSO, or Linux's GSO, would send for a
// super-frame. Works on headers only; the caller copies payload and finishes the checksum.
// Invariant: the segments' payloads, in order, are the super-frame's, and each header is that of a
// packet of its own. Lengths and sequence numbers fit, and IPv4 ids count on from the first. Flags
// are those of a sender that makes the segments itself (FIN and PSH end a burst; CWR answers once,
// RFC 3168, section 6.1.2).
#include "rtvs/frame.h"

#include <errno.h>
#include <string.h>

#define TCP_MIN 20
#define TCP_PROTO 6
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80
#define IPV6_FIXED 40 // not counted by the payload length field

static uint16_t
load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
load32(const uint8_t *p)
{
	return (uint32_t)load16(p) << 16 | load16(p + 2);
}

static void
store16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void
store32(uint8_t *p, uint32_t value)
{
	store16(p, (uint16_t)(value >> 16));
	store16(p + 2, (uint16_t)value);
}

static bool
is_whole_tcp(const struct frame_l3 *l3)
{
	return (l3->kind == FRAME_IPV4 || l3->kind == FRAME_IPV6) && !l3->is_malformed && !l3->is_unclear &&
		!l3->is_fragment && !l3->has_more_fragments && !l3->has_fragment_header && l3->proto == TCP_PROTO &&
		l3->l4_offset;
}

int
frame_tso_plan(const uint8_t *hdr, size_t hdr_bytes, uint32_t frame_len, uint16_t mss, struct frame_tso *ret_plan)
{
	struct frame_l2 l2;
	struct frame_l3 l3;

	if (!mss || hdr_bytes > frame_len || !frame_parse_l2(hdr, hdr_bytes, &l2))
		return -EINVAL;
	l2.is_tagged = false; // so that two tags may follow
	frame_parse_l3_head(hdr, hdr_bytes, frame_len, &l2, &l3);
	if (!is_whole_tcp(&l3) || hdr_bytes - l3.l4_offset < TCP_MIN)
		return -EINVAL;
	uint16_t l3_offset = (uint16_t)(l3.l4_offset - l3.l3_len);
	uint32_t tcp_len = (hdr[l3.l4_offset + 12] >> 4) * 4u;
	uint32_t hdr_len = l3.l4_offset + tcp_len;
	bool is_v6 = l3.kind == FRAME_IPV6;
	uint32_t end =
		l3_offset + (is_v6 ? IPV6_FIXED + (uint32_t)load16(hdr + l3_offset + 4) : load16(hdr + l3_offset + 2));

	if (tcp_len < TCP_MIN || hdr_len > hdr_bytes || hdr_len > end)
		return -EINVAL;
	uint32_t payload_len = end - hdr_len;
	uint32_t n_segments = payload_len ? (payload_len - 1) / mss + 1 : 1;
	if (n_segments > FRAME_TSO_MAX_SEGMENTS)
		return -EINVAL;
	*ret_plan = (struct frame_tso){
		.l3_offset = l3_offset,
		.l4_offset = l3.l4_offset,
		.hdr_len = (uint16_t)hdr_len,
		.mss = mss,
		.is_v6 = is_v6,
		.payload_len = payload_len,
		.n_segments = n_segments,
	};
	return 0;
}

// Lengths, id and header checksum.
static void
write_l3(const struct frame_tso *plan, uint32_t i, uint32_t tcp_bytes, uint8_t *out)
{
	uint8_t *l3 = out + plan->l3_offset;
	uint32_t l3_len = (uint32_t)(plan->l4_offset - plan->l3_offset);

	if (plan->is_v6) {
		store16(l3 + 4, (uint16_t)(l3_len - IPV6_FIXED + tcp_bytes));
		return;
	}
	store16(l3 + 2, (uint16_t)(l3_len + tcp_bytes));
	store16(l3 + 4, (uint16_t)(load16(l3 + 4) + i));
	store16(l3 + 10, 0);
	store16(l3 + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, l3, l3_len)));
}

uint32_t
frame_tso_header(const struct frame_tso *plan, const uint8_t *hdr, uint32_t i, uint8_t *out)
{
	bool is_last = i + 1 == plan->n_segments;
	uint32_t done = i * plan->mss;
	uint32_t len = is_last ? plan->payload_len - done : plan->mss;
	uint8_t *tcp = out + plan->l4_offset;

	memcpy(out, hdr, plan->hdr_len);
	store32(tcp + 4, load32(tcp + 4) + done);
	if (!is_last)
		tcp[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
	if (i)
		tcp[13] &= (uint8_t)~TCP_CWR;
	uint32_t tcp_len = (uint32_t)(plan->hdr_len - plan->l4_offset), was = tcp_len + plan->payload_len;
	write_l3(plan, i, tcp_len + len, out);
	store16(tcp + 16, frame_checksum_fold((uint64_t)load16(tcp + 16) + (uint16_t)~was + tcp_len + len));
	return len;
}
