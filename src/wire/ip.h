// Shared by the codecs of ARP, neighbor discovery and ICMP: addresses that one host can have, and
// ICMPv6's checksum.
#pragma once

#include "rtvs/frame.h"

#include <string.h>

#define IP_V4_BYTES 20
#define IP_V6_BYTES 40
#define IP_PROTO_ICMP 1
#define IP_PROTO_ICMPV6 58
#define IP_HOP_LIMIT 64 // of what we send
#define IP_V4_DF 0x4000

static inline bool
ip_mac_is_host(const uint8_t *mac)
{
	uint64_t value = frame_load_mac(mac);

	return value && !(value & FRAME_MAC_MULTICAST);
}

// Not this network, loopback, multicast, reserved or broadcast.
static inline bool
ip_v4_is_host(const uint8_t *addr)
{
	return addr[0] && addr[0] != 127 && addr[0] < 224;
}

static inline bool
ip_v6_is_unspecified(const uint8_t *addr)
{
	static const uint8_t unspecified[16];

	return memcmp(addr, unspecified, 16) == 0;
}

static inline bool
ip_v6_is_host(const uint8_t *addr)
{
	return addr[0] != 0xff && !ip_v6_is_unspecified(addr);
}

// Over pseudo-header and message of an IPv6 packet without extension headers, as it stands. The
// result is 0xffff when its checksum is right, and the inverted checksum when that field is 0.
static inline uint16_t
ip_icmpv6_sum(const uint8_t *ip, size_t message_len)
{
	uint64_t sum = frame_checksum_add((uint64_t)IP_PROTO_ICMPV6 + message_len, ip + 8, 32);

	return frame_checksum_fold(frame_checksum_add(sum, ip + IP_V6_BYTES, message_len));
}
