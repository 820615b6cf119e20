// IPv4 fragmentation (RFC 791, section 3.2) of a packet inside of an Ethernet frame, for paths with
// a smaller MTU than the guest's own link. Pure: plans, and writes headers; the caller moves the
// payload. Only their senders fragment IPv6 packets.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FRAGMENT_MAX 64 // of one packet; more would be a way that takes no more than headers
#define FRAGMENT_HEADERS_MAX 82 // Ethernet with two tags, and an IPv4 header with options

struct fragment_plan {
	uint16_t l3_offset;
	// Of the packet's own payload in the original packet, in units of 8 bytes.
	uint16_t offset;
	uint16_t payload_len, piece; // bytes; piece: of each fragment but the last
	// IP headers of the first fragment, and of later ones, which have less options.
	uint8_t header_len, later_len;
	uint8_t later[60]; // header of those after it, as far as it is the same
	uint16_t n; // fragments, 1 at least
	uint8_t has_more; // behind the packet, which is a fragment itself
};

// hdr: the first hdr_bytes of a frame of frame_len bytes, all headers included. mtu: the path's
// limit on bytes of IP. Bytes behind the packet in the frame are padding, and no payload.
// -EMSGSIZE: IPv4 with DF, or IPv6: its sender must be told (icmp_too_big). -EPROTO: neither.
// -EBADMSG: wrong lengths, checksum or options. -E2BIG: an mtu without room for 8 bytes behind the
// header, or more than FRAGMENT_MAX fragments.
int fragment_plan(const uint8_t *hdr, size_t hdr_bytes, size_t frame_len, uint32_t mtu, struct fragment_plan *ret_plan);
// Writes the headers of fragment i, below plan->n, and returns their length. *ret_offset: where its
// payload begins in the frame; *ret_len: bytes of it. hdr: as in plan.
size_t fragment_header(const struct fragment_plan *plan, const uint8_t *hdr, uint16_t i,
	uint8_t out[FRAGMENT_HEADERS_MAX], size_t *ret_offset, uint16_t *ret_len);
