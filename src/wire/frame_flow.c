// The code reads fixed offsets, and further than frame.c's walk needs to: a header that it mistakes
// for another only spreads a flow less.
// Invariant: no byte outside [data, data + len) is read, and all packets of one flow, including
// fragments, have one number.
#include "rtvs/frame_flow.h"

#include "bytes.h"

#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define PROTO_SCTP 132

// Protocol and ports; room: bytes of the frame from the first port on. An IPv6 extension header
// counts as a protocol without ports, so all fragments of a packet have the same word.
static uint64_t
l4_word(uint8_t proto, const uint8_t *ports, size_t room)
{
	uint64_t word = (uint64_t)proto << 32;

	if ((proto == FRAME_FLOW_TCP || proto == FRAME_FLOW_UDP || proto == PROTO_SCTP) && room >= 4)
		word |= frame_flow_load32(ports);
	return word;
}

// ether: a word for what is before. 0: it is no IP packet.
static uint64_t
hash_ip(uint64_t ether, uint16_t type, const uint8_t *ip, size_t room)
{
	if (type == FRAME_ETHER_IPV4 && room >= IPV4_BYTES) {
		size_t header_len = (size_t)(ip[0] & 15) * 4;
		bool is_whole = !(bytes_load16(ip + 6) & FRAME_FLOW_FRAGMENT) && header_len <= room;

		return frame_flow_mix(frame_flow_load64(ip + 12),
			ether ^ l4_word(ip[9], ip + header_len, is_whole ? room - header_len : 0));
	}
	if (type == FRAME_ETHER_IPV6 && room >= IPV6_BYTES) {
		uint64_t hash = frame_flow_mix(frame_flow_load64(ip + 8), frame_flow_load64(ip + 16)) ^
			frame_flow_mix(frame_flow_load64(ip + 24), frame_flow_load64(ip + 32)) << 1;

		return frame_flow_mix(hash, ether ^ l4_word(ip[6], ip + IPV6_BYTES, room - IPV6_BYTES));
	}
	return 0;
}

uint64_t
frame_flow_hash_any(const uint8_t *data, size_t len)
{
	uint16_t type = 0;
	size_t offset = frame_skip_tags(data, len, &type);
	uint64_t hash = offset ? hash_ip(frame_flow_ether(data), type, data + offset, len - offset) : 0;

	if (!hash && len >= FRAME_MIN)
		hash = frame_flow_mix(frame_flow_load64(data), (uint64_t)frame_flow_load32(data + 8) << 16 | type);
	return hash;
}
