// The flow of a frame, as one number: for the receiver's queues and the source ports of tunnels.
// Pure; reads only [data, data + len).
#pragma once

#include "rtvs/frame.h"

#define FRAME_FLOW_TCP 6
#define FRAME_FLOW_UDP 17
#define FRAME_FLOW_FRAGMENT 0x3fff // of IPv4's flags and offset: more fragments, or an offset
#define FRAME_FLOW_PLAIN 0x080045u // EtherType IPv4, and a header without options

static inline uint64_t
frame_flow_load64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint32_t
frame_flow_load32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

// Both words' bits reach all of the result's. The constants are any with half of their bits set.
static inline uint64_t
frame_flow_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product =
		(unsigned __int128)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xd1b54a32d192ed03));

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Both addresses of Ethernet: two networks may have the same flows of IP.
static inline uint64_t
frame_flow_ether(const uint8_t *data)
{
	return frame_flow_load64(data + 4) ^ (uint64_t)frame_flow_load32(data) << 16;
}

// frame_flow_hash of any frame.
uint64_t frame_flow_hash_any(const uint8_t *data, size_t len);

// The same for all packets of a flow, and different for most others: addresses and the IP packet's
// protocol, behind tags. Ports count where all packets of the flow have them, so not in fragments.
static inline uint64_t
frame_flow_hash(const uint8_t *data, size_t len)
{
	const uint8_t *ip = data + FRAME_MIN;
	uint32_t word;

	// Most frames take the shorter way.
	if (len < FRAME_MIN + 24 || be32toh(frame_flow_load32(data + 12)) >> 8 != FRAME_FLOW_PLAIN)
		return frame_flow_hash_any(data, len);
	word = be32toh(frame_flow_load32(ip + 6)); // flags and offset, time to live, protocol
	if (word >> 16 & FRAME_FLOW_FRAGMENT || ((word & 0xff) != FRAME_FLOW_TCP && (word & 0xff) != FRAME_FLOW_UDP))
		return frame_flow_hash_any(data, len);
	return frame_flow_mix(frame_flow_load64(ip + 12),
		frame_flow_ether(data) ^ ((uint64_t)(word & 0xff) << 32 | frame_flow_load32(ip + 20)));
}

// One of n places for a flow's hash: a division would take as long as the hash itself.
static inline uint32_t
frame_flow_place(uint64_t hash, uint32_t n)
{
	return (uint32_t)((hash >> 32) * n >> 32);
}
