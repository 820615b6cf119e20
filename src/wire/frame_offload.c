// Work that a sender left to the next hop: the checksum of TCP or UDP, and the segmentation of a
// TCP super-frame. frame.c finds the header behind tags and extension headers.
// Invariant: an accepted frame has all its headers in the first bytes, and one place for the
// checksum.
#include "rtvs/frame.h"

#include <errno.h>

#define IPV6_FIXED 40
#define TCP_PROTO 6
#define TCP_MIN 20
#define TCP_CHECKSUM 16
#define UDP_PROTO 17
#define UDP_MIN 8
#define UDP_CHECKSUM 6

int
frame_offload(const uint8_t *data, size_t head_bytes, size_t len, const struct frame_l2 *l2, bool is_super,
	struct frame_offload *ret_offload)
{
	struct frame_l3 l3;

	frame_parse_l3_head(data, head_bytes, len, l2, &l3);
	if ((l3.kind != FRAME_IPV4 && l3.kind != FRAME_IPV6) || l3.is_malformed || l3.is_unclear || l3.is_fragment ||
		l3.has_more_fragments || !l3.l4_offset || (l3.proto != TCP_PROTO && l3.proto != UDP_PROTO))
		return -EINVAL;
	bool is_tcp = l3.proto == TCP_PROTO, is_v6 = l3.kind == FRAME_IPV6;
	size_t room = head_bytes - l3.l4_offset, l4_len = UDP_MIN;

	if (is_super && (!is_tcp || l3.has_fragment_header || l3.has_routing_header))
		return -EINVAL;
	if (room < (is_tcp ? TCP_MIN : UDP_MIN))
		return -EINVAL;
	if (is_tcp)
		l4_len = (size_t)(data[l3.l4_offset + 12] >> 4) * 4;
	if (room < l4_len || (is_tcp && l4_len < TCP_MIN))
		return -EINVAL;
	*ret_offload = (struct frame_offload){
		.l3_offset = (uint16_t)(l3.l4_offset - l3.l3_len),
		.l4_offset = l3.l4_offset,
		.l4_len = (uint8_t)l4_len,
		.checksum_at = (uint16_t)(l3.l4_offset + (is_tcp ? TCP_CHECKSUM : UDP_CHECKSUM)),
		.is_tcp = is_tcp,
		.is_v6 = is_v6,
		.has_extensions = is_v6 && l3.l3_len != IPV6_FIXED,
	};
	return 0;
}
