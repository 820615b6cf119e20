// Work that the sender of a frame left to the next hop: a checksum, or the segmentation of a TCP
// super-frame (struct virtio_net_hdr; Virtio 1.2, 5.1.6.2). The sender says where the checksum is,
// so tags, extension headers and tunnels before it do not matter. Pure.
#pragma once

#include "rtvs/frame.h"

enum offload_kind {
	OFFLOAD_CHECKSUM,
	OFFLOAD_TCP4, // segments, and their checksums
	OFFLOAD_TCP6,
	OFFLOAD_NONSENSE // segments of a kind that no sender was offered, or without checksums
};

// The field of two bytes at csum_start + csum_offset takes the sum of all from csum_start to the
// frame's end. The field has the pseudo header's sum before.
struct offload {
	uint16_t csum_start, csum_offset;
	uint16_t gso_size; // TCP payload of a segment
	uint8_t kind; // enum offload_kind
	uint8_t l4_len; // of a super-frame that was checked: TCP's header with options
};

#define OFFLOAD_HEAD_MAX 256 // bytes in which a super-frame has all its headers

// Does the frame permit what is asked for? data: its first head_bytes, of a super-frame
// OFFLOAD_HEAD_MAX or all. l2: of this frame. A super-frame of one segment becomes a checksum.
// -EINVAL: it does not: the checksum or its beginning is outside of the frame or in Ethernet's
// headers, or at an odd offset; a super-frame's TCP header is not at csum_start, IP's version,
// lengths or fragments contradict, or gso_size is 0.
int offload_check(
	const uint8_t *data, size_t head_bytes, size_t len, const struct frame_l2 *l2, struct offload *offload);

// The same request for devices that find the checksum by the frame's own headers.
struct offload_places {
	uint16_t l3_offset, l3_len;
	uint8_t l4_len;
	bool is_v6, is_tcp; // else IPv4, UDP
};

// offload: checked. It may be that of a frame with a further 802.1Q tag before all others. False:
// such a device would find another place, or none: neither TCP nor UDP, inside a tunnel, behind
// IPv6 extension headers, whose kind would get into the pseudo header.
bool offload_find(const uint8_t *data, size_t head_bytes, size_t len, const struct offload *offload,
	struct offload_places *ret_places);
