// The TOS byte of the IP packet in a frame: DSCP and ECN. frame.c reads headers for a decision
// about the packet. This file reads three bytes and may write them, so it does not share frame.c's
// walk.
// Invariant: no byte outside [data, data + len) is read, and only the named bits of the TOS byte
// and the IPv4 header checksum are written.
#include "rtvs/frame_tos.h"

#include "bytes.h"
#include "rtvs/frame.h"

#define IPV4_MIN 20
#define IPV6_MIN 40
#define IPV4_CHECKSUM 10 // offset

// The offset of an IP header that is all there, 0: there is none. Its version is the first nibble.
static size_t
find_ip(const uint8_t *data, size_t len)
{
	uint16_t type = 0;
	size_t offset = frame_skip_tags(data, len, &type), room = len - offset;

	if (type == FRAME_ETHER_IPV6)
		return room >= IPV6_MIN && data[offset] >> 4 == 6 ? offset : 0;
	if (type != FRAME_ETHER_IPV4 || room < IPV4_MIN || data[offset] >> 4 != 4)
		return 0;
	size_t header_len = (size_t)(data[offset] & 15) * 4;

	return header_len >= IPV4_MIN && header_len <= room ? offset : 0;
}

// The first 16 bits of both versions: IPv4 has the byte in bits 7 to 0, IPv6 in bits 11 to 4,
// across two bytes.
static unsigned
tos_shift(uint16_t first)
{
	return first >> 12 == 4 ? 0 : 4;
}

int
frame_tos(const uint8_t *data, size_t len)
{
	size_t offset = find_ip(data, len);
	uint16_t first = offset ? bytes_load16(data + offset) : 0;

	return offset ? first >> tos_shift(first) & 0xff : -1;
}

bool
frame_tos_set(uint8_t *data, size_t len, uint8_t tos, uint8_t mask)
{
	size_t offset = find_ip(data, len);
	uint8_t *header = data + offset;
	uint16_t old = offset ? bytes_load16(header) : 0;
	unsigned shift = tos_shift(old);
	uint16_t changed = (uint16_t)((old & ~((unsigned)mask << shift)) | (unsigned)(tos & mask) << shift);

	if (!offset || changed == old)
		return false;
	bytes_store16(header, changed);
	if (old >> 12 == 4) {
		// ~(~HC + ~m + m'). No term before the first inversion can be 0 altogether, so
		// 0xffff never results.
		uint64_t sum = (uint64_t)(uint16_t)~bytes_load16(header + IPV4_CHECKSUM) + (uint16_t)~old + changed;

		bytes_store16(header + IPV4_CHECKSUM, (uint16_t)~frame_checksum_fold(sum));
	}
	return true;
}
