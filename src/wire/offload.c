// Requests of a frame's sender, compared with the frame. frame.c finds headers behind tags and
// extension headers.
// Invariant: an accepted checksum is inside the frame and behind Ethernet's headers. An accepted
// super-frame has all its headers in the first bytes, and ends where its IP packet does.
#include "rtvs/offload.h"

#include "bytes.h"

#include <errno.h>

#define IPV6_FIXED 40
#define TCP_PROTO 6
#define TCP_MIN 20
#define TCP_CHECKSUM 16
#define UDP_PROTO 17
#define UDP_MIN 8
#define UDP_CHECKSUM 6
#define CHECKSUM_BYTES 2

// TCP or UDP with its whole header, in no fragment.
static bool
find_l4(const uint8_t *data, size_t head_bytes, size_t len, const struct frame_l2 *l2, struct frame_l3 *l3,
	struct offload_places *ret_places)
{
	size_t room, l4_len = UDP_MIN;
	bool is_tcp;

	frame_parse_l3_head(data, head_bytes, len, l2, l3);
	is_tcp = l3->proto == TCP_PROTO;
	if ((l3->kind != FRAME_IPV4 && l3->kind != FRAME_IPV6) || l3->is_malformed || l3->is_unclear ||
		l3->is_fragment || l3->has_more_fragments || !l3->l4_offset || (!is_tcp && l3->proto != UDP_PROTO))
		return false;
	room = head_bytes - l3->l4_offset;
	if (room < (is_tcp ? TCP_MIN : UDP_MIN))
		return false;
	if (is_tcp)
		l4_len = (size_t)(data[l3->l4_offset + 12] >> 4) * 4;
	if (room < l4_len || (is_tcp && l4_len < TCP_MIN))
		return false;
	*ret_places = (struct offload_places){
		.l3_offset = (uint16_t)(l3->l4_offset - l3->l3_len),
		.l3_len = l3->l3_len,
		.l4_len = (uint8_t)l4_len,
		.is_v6 = l3->kind == FRAME_IPV6,
		.is_tcp = is_tcp,
	};
	return true;
}

static size_t
packet_end(const uint8_t *data, const struct offload_places *p)
{
	const uint8_t *ip = data + p->l3_offset;

	return p->l3_offset + (p->is_v6 ? IPV6_FIXED + (size_t)bytes_load16(ip + 4) : bytes_load16(ip + 2));
}

int
offload_check(const uint8_t *data, size_t head_bytes, size_t len, const struct frame_l2 *l2, struct offload *offload)
{
	struct offload_places p;
	struct frame_l3 l3;

	if (offload->csum_start < l2->l3_offset || (offload->csum_offset & 1) || offload->kind >= OFFLOAD_NONSENSE ||
		(size_t)offload->csum_start + offload->csum_offset + CHECKSUM_BYTES > len)
		return -EINVAL;
	if (offload->kind == OFFLOAD_CHECKSUM)
		return 0;
	if (!offload->gso_size || !find_l4(data, head_bytes, len, l2, &l3, &p) || !p.is_tcp ||
		p.is_v6 != (offload->kind == OFFLOAD_TCP6) || l3.l4_offset != offload->csum_start ||
		offload->csum_offset != TCP_CHECKSUM || l3.has_fragment_header || packet_end(data, &p) != len)
		return -EINVAL;
	offload->l4_len = p.l4_len;
	if (len - offload->csum_start - p.l4_len <= offload->gso_size)
		offload->kind = OFFLOAD_CHECKSUM;
	return 0;
}

bool
offload_find(const uint8_t *data, size_t head_bytes, size_t len, const struct offload *offload,
	struct offload_places *ret_places)
{
	struct offload_places p;
	struct frame_l2 l2;
	struct frame_l3 l3;

	if (!frame_parse_l2(data, head_bytes, &l2))
		return false;
	l2.is_tagged = false; // so that two tags may follow
	if (!find_l4(data, head_bytes, len, &l2, &l3, &p) || (p.is_v6 && p.l3_len != IPV6_FIXED) ||
		l3.l4_offset != offload->csum_start || offload->csum_offset != (p.is_tcp ? TCP_CHECKSUM : UDP_CHECKSUM))
		return false;
	*ret_places = p;
	return true;
}
