// UDP datagrams of an endpoint without a kernel: whole Ethernet frames, built and parsed. Pure. RFC
// 768, 791, 8200.
#pragma once

#include "rtvs/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDP_HEADERS_MAX 66 // Ethernet with tag, IPv6, UDP
#define UDP_DATA_MAX 1400 // bytes of one datagram; fits an underlay of 1,500

struct udp_datagram {
	bool is_ipv6;
	uint8_t tos;
	uint8_t hop_limit; // 1 to 255
	uint16_t vlan; // 0: untagged
	struct mac src_mac, dst_mac;
	uint8_t src[16], dst[16]; // IPv4: the first four bytes
	uint16_t src_port, dst_port;
	const uint8_t *data; // of udp_parse: in the frame
	uint16_t len; // to UDP_DATA_MAX
};

// Writes the frame, with checksums, DF on IPv4, and returns its length.
size_t udp_build(const struct udp_datagram *d, uint8_t out[UDP_HEADERS_MAX + UDP_DATA_MAX]);
// False: not a whole, unfragmented UDP datagram without IP options or extension headers. Also
// false: a wrong checksum (0 is none on IPv4), or longer than UDP_DATA_MAX.
bool udp_parse(const uint8_t *frame, size_t len, struct udp_datagram *ret_d);
