// ICMP errors about packets too big, made from the packet. frame.c finds out what the packet is; where it cannot be sure, nothing is
// sent. Invariant: no byte of the quote is outside of the packet or of what the caller has of it.
#include "rtvs/icmp_too_big.h"

#include "bytes.h"
#include "ip.h"

#define IPV4_ANSWER_MAX 576 // RFC 1812, section 4.3.2.3
#define IPV6_ANSWER_MAX 1280 // RFC 4443, section 2.4 c
#define ICMP_BYTES 8
#define ICMP_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4 // code
#define ICMPV6_TOO_BIG 2
#define ICMPV6_QUERIES 128 // types from here on are no errors
#define ICMPV6_REDIRECT 137
#define TOS_CONTROL 0xc0 // precedence 6, RFC 1812, section 4.3.2.5

_Static_assert(FRAME_MIN + FRAME_MAX_TAGS * 4 + IPV6_ANSWER_MAX == ICMP_TOO_BIG_MAX, "ICMP_TOO_BIG_MAX is the longest");

// Echo, timestamp, information, address mask and router discovery; all others are errors or unknown.
static bool
is_icmp_query(uint8_t type)
{
	return type == 0 || (type >= 8 && type <= 10) || (type >= 13 && type <= 18);
}

static bool
may_answer_ipv4(const uint8_t *data, const uint8_t *ip, const struct frame_l3 *l3)
{
	if (!(bytes_load16(ip + 6) & IP_V4_DF) || !ip_v4_is_host(l3->src) || !ip_v4_is_host(l3->dst))
		return false;
	return l3->proto != IP_PROTO_ICMP || (l3->l4_offset && is_icmp_query(data[l3->l4_offset]));
}

static bool
may_answer_ipv6(const uint8_t *data, const struct frame_l3 *l3)
{
	if (!ip_v6_is_host(l3->src) || !ip_v6_is_host(l3->dst))
		return false;
	if (l3->proto != IP_PROTO_ICMPV6)
		return true;
	return l3->l4_offset && data[l3->l4_offset] >= ICMPV6_QUERIES && data[l3->l4_offset] != ICMPV6_REDIRECT;
}

static size_t
put_ipv4(uint8_t *out, const struct frame_l3 *l3, uint32_t mtu, const uint8_t *quote, size_t quote_len)
{
	uint8_t *icmp = out + IP_V4_BYTES;
	size_t total_len = IP_V4_BYTES + ICMP_BYTES + quote_len;

	memset(out, 0, IP_V4_BYTES + ICMP_BYTES);
	out[0] = 0x45;
	out[1] = TOS_CONTROL;
	bytes_store16(out + 2, (uint16_t)total_len);
	bytes_store16(out + 6, IP_V4_DF);
	out[8] = IP_HOP_LIMIT;
	out[9] = IP_PROTO_ICMP;
	memcpy(out + 12, l3->dst, 4);
	memcpy(out + 16, l3->src, 4);
	bytes_store16(out + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, out, IP_V4_BYTES)));
	icmp[0] = ICMP_UNREACHABLE;
	icmp[1] = ICMP_FRAGMENTATION_NEEDED;
	bytes_store16(icmp + 6, (uint16_t)mtu);
	memcpy(icmp + ICMP_BYTES, quote, quote_len);
	bytes_store16(icmp + 2, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, icmp, ICMP_BYTES + quote_len)));
	return total_len;
}

static size_t
put_ipv6(uint8_t *out, const struct frame_l3 *l3, uint32_t mtu, const uint8_t *quote, size_t quote_len)
{
	uint8_t *icmp = out + IP_V6_BYTES;
	size_t icmp_len = ICMP_BYTES + quote_len;

	memset(out, 0, IP_V6_BYTES + ICMP_BYTES);
	out[0] = 0x60;
	bytes_store16(out + 4, (uint16_t)icmp_len);
	out[6] = IP_PROTO_ICMPV6;
	out[7] = IP_HOP_LIMIT;
	memcpy(out + 8, l3->dst, 16);
	memcpy(out + 24, l3->src, 16);
	icmp[0] = ICMPV6_TOO_BIG;
	bytes_store32(icmp + 4, mtu);
	memcpy(icmp + ICMP_BYTES, quote, quote_len);
	bytes_store16(icmp + 2, (uint16_t)~ip_icmpv6_sum(out, icmp_len));
	return IP_V6_BYTES + icmp_len;
}

static size_t
min(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t
icmp_too_big(const uint8_t *data, size_t head_bytes, size_t len, uint32_t mtu, uint8_t out[ICMP_TOO_BIG_MAX])
{
	struct frame_l2 l2;
	struct frame_l3 l3;

	if (!frame_parse_l2(data, head_bytes, &l2) || !ip_mac_is_host(data) || !ip_mac_is_host(data + 6))
		return 0;
	frame_parse_l3_head(data, head_bytes, len, &l2, &l3);
	if (l3.is_malformed || l3.is_unclear || l3.is_fragment || (l3.kind != FRAME_IPV4 && l3.kind != FRAME_IPV6))
		return 0;
	bool is_v4 = l3.kind == FRAME_IPV4;
	const uint8_t *ip = l3.src - (is_v4 ? 12 : 8);
	size_t l2_len = (size_t)(ip - data), room = head_bytes - l2_len;

	if (is_v4 && (mtu < ICMP_TOO_BIG_MIN_IPV4 || mtu > UINT16_MAX || !may_answer_ipv4(data, ip, &l3)))
		return 0;
	if (!is_v4 && (mtu < ICMP_TOO_BIG_MIN_IPV6 || !may_answer_ipv6(data, &l3)))
		return 0;
	memcpy(out, data + 6, 6);
	memcpy(out + 6, data, 6);
	memcpy(out + 12, data + 12, l2_len - 12);
	if (is_v4) {
		size_t packet_len = min(bytes_load16(ip + 2), IPV4_ANSWER_MAX - IP_V4_BYTES - ICMP_BYTES);

		return l2_len + put_ipv4(out + l2_len, &l3, mtu, ip, min(packet_len, room));
	}
	size_t packet_len = min(IP_V6_BYTES + (size_t)bytes_load16(ip + 4), IPV6_ANSWER_MAX - IP_V6_BYTES - ICMP_BYTES);

	return l2_len + put_ipv6(out + l2_len, &l3, mtu, ip, min(packet_len, room));
}
