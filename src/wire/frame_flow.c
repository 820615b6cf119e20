// The flow of a frame, as one number: for the receiver's queues and the source ports of tunnels.
// The code reads fixed offsets, and further than frame.c's walk needs to: a header that it mistakes
// for another only spreads a flow less.
// Invariant: no byte outside [data, data + len) is read, and all packets of one flow, including
// fragments, have one number.
#include "bytes.h"
#include "rtvs/frame.h"

#define IPV4_BYTES 20
#define IPV4_WITHOUT_OPTIONS UINT64_C(0x080045) // EtherType, version, and length of the header
#define IPV6_BYTES 40
#define IPV4_MF_OR_OFFSET 0x3fff // any of them: a fragment
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_SCTP 132

// Both words' bits reach all of the result's. The constants are any with half of their bits set.
static uint64_t
mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product =
		(unsigned __int128)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xd1b54a32d192ed03));

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Protocol and ports; room: bytes of the frame from the first port on. An IPv6 extension header
// counts as a protocol without ports, so all fragments of a packet have the same word.
static uint64_t
l4_word(uint8_t proto, const uint8_t *ports, size_t room)
{
	uint64_t word = (uint64_t)proto << 32;

	if ((proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP) && room >= 4)
		word |= bytes_load32(ports);
	return word;
}

// Both addresses of Ethernet: two networks may have the same flows of IP.
static uint64_t
ether_word(const uint8_t *data)
{
	return bytes_load64(data + 4) ^ (uint64_t)bytes_load32(data) << 16;
}

// ether: a word for what is before. 0: it is no IP packet.
static uint64_t
hash_ip(uint64_t ether, uint16_t type, const uint8_t *ip, size_t room)
{
	if (type == FRAME_ETHER_IPV4 && room >= IPV4_BYTES) {
		size_t header_len = (size_t)(ip[0] & 15) * 4;
		bool is_whole = !(bytes_load16(ip + 6) & IPV4_MF_OR_OFFSET) && header_len <= room;

		return mix(bytes_load64(ip + 12),
			ether ^ l4_word(ip[9], ip + header_len, is_whole ? room - header_len : 0));
	}
	if (type == FRAME_ETHER_IPV6 && room >= IPV6_BYTES) {
		uint64_t hash = mix(bytes_load64(ip + 8), bytes_load64(ip + 16)) ^
			mix(bytes_load64(ip + 24), bytes_load64(ip + 32)) << 1;

		return mix(hash, ether ^ l4_word(ip[6], ip + IPV6_BYTES, room - IPV6_BYTES));
	}
	return 0;
}

uint64_t
frame_flow_hash(const uint8_t *data, size_t len)
{
	uint16_t type = 0;
	size_t offset;
	uint64_t hash;

	// The same for most frames, in a third of the time: no tags, options or fragments.
	if (len >= FRAME_MIN + IPV4_BYTES + 4 && bytes_load64(data + 12) >> 40 == IPV4_WITHOUT_OPTIONS) {
		const uint8_t *ip = data + FRAME_MIN;
		uint32_t word = bytes_load32(ip + 6); // flags, offset, time to live, protocol
		uint8_t proto = (uint8_t)word;

		if (!(word >> 16 & IPV4_MF_OR_OFFSET) && (proto == PROTO_TCP || proto == PROTO_UDP))
			return mix(bytes_load64(ip + 12),
				ether_word(data) ^ ((uint64_t)proto << 32 | bytes_load32(ip + IPV4_BYTES)));
	}
	offset = frame_skip_tags(data, len, &type);
	hash = offset ? hash_ip(ether_word(data), type, data + offset, len - offset) : 0;
	if (!hash && len >= FRAME_MIN)
		hash = mix(bytes_load64(data), (uint64_t)bytes_load32(data + 8) << 16 | type);
	return hash;
}
