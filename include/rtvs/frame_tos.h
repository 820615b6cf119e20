// The byte of an IP packet that tells the network how to treat the packet.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The TOS byte of the IPv4 packet, or traffic class of the IPv6 packet, in a frame, behind at most
// FRAME_MAX_TAGS tags: DSCP (RFC 2474) in bits 7 to 2, ECN (RFC 3168) in bits 1 and 0. -1: no IP,
// or its header is incomplete.
int frame_tos(const uint8_t *data, size_t len);
// Writes the bits of tos that mask names; the others stay. An IPv4 header checksum is updated by
// the difference (RFC 1624, equation 3): a right checksum stays right, a wrong one stays wrong.
// False: nothing was changed, as frame_tos returns -1 or has these bits.
bool frame_tos_set(uint8_t *data, size_t len, uint8_t tos, uint8_t mask);

#define FRAME_TOS_DSCP 0xfc // masks
#define FRAME_TOS_ECN 0x03

// The DSCP alone, 0 to 63.
static inline int
frame_dscp(const uint8_t *data, size_t len)
{
	int tos = frame_tos(data, len);

	return tos < 0 ? -1 : tos >> 2;
}

static inline bool
frame_dscp_set(uint8_t *data, size_t len, uint8_t dscp)
{
	return frame_tos_set(data, len, (uint8_t)(dscp << 2), FRAME_TOS_DSCP);
}
