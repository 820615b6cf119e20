// The answer to a guest whose frame is larger than its path takes: ICMP fragmentation needed (RFC
// 792, 1191) or ICMPv6 packet too big (RFC 4443, section 3.2), so that path MTU discovery works
// across a tunnel. Pure. The caller limits the answers a second (RFC 1812, section 4.3.2.8; RFC
// 4443, section 2.4 f). The other direction is here, too: reports of the underlay's routers about a
// tunnel's packets.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ICMP_TOO_BIG_MAX 1302 // Ethernet with two tags and an IPv6 packet of 1280
#define ICMP_TOO_BIG_MIN_IPV4 68 // MTUs below these are none (RFC 791; RFC 8200, section 5)
#define ICMP_TOO_BIG_MIN_IPV6 1280

// data: the first head_bytes of the guest's frame of len bytes. The more there are, the longer is
// the quote, to 576 or 1280 bytes of answer. mtu: the path's limit on an IP packet; the caller
// knows that the packet is larger. Writes a frame to out and returns its length. The MACs are
// swapped and the tags unchanged. The source is the packet's destination, as in Linux tunnels,
// because a bridge has no address of its own.
// 0: no answer may or need be sent:
// - IPv4 without DF; all but the first fragment of a packet; packets that are not from one host to
//   one, by MAC and by IP;
// - ICMP errors, ICMPv6 redirects and ICMP that may be either (RFC 1122, section 3.2.2; RFC 1812,
//   section 4.3.2.7; RFC 4443, section 2.4 e; packets too big for a multicast group would be
//   permitted, but have no source address);
// - headers that are malformed or incomplete; no IP; an mtu below the family's minimum or, with
//   IPv4, above 65535.
size_t icmp_too_big(const uint8_t *data, size_t head_bytes, size_t len, uint32_t mtu, uint8_t out[ICMP_TOO_BIG_MAX]);

// A router's report about a Geneve packet.
struct icmp_too_big_news {
	bool is_ipv6;
	bool has_vni; // the quote is long enough
	uint32_t mtu; // 0, with IPv4: it did not say (before RFC 1191)
	uint32_t vni;
	uint8_t src[16], dst[16]; // of the packet; IPv4: the first four bytes
};

// data: a frame. False: no such ICMP, complete and with right checksums, to the sender of the
// packet that it quotes. Also false: a quote that cannot be of a packet of ours, which is UDP as
// geneve_push makes it, longer than mtu. The caller knows whether such a tunnel exists.
bool icmp_too_big_parse(const uint8_t *data, size_t len, struct icmp_too_big_news *ret_news);
