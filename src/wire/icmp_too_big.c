// ICMP errors about packets too big, made from the packet. frame.c classifies the packet; an answer
// is sent only when the class is certain.
// Invariant: no byte of the quote is outside of the packet or of the caller's copy. Errors of other
// hosts are read with less trust: RFC 5927, section 7.
#include "rtvs/icmp_too_big.h"

#include "bytes.h"
#include "ip.h"
#include "rtvs/geneve.h"

#define IPV4_ANSWER_MAX 576 // RFC 1812, section 4.3.2.3
#define IPV6_ANSWER_MAX 1280 // RFC 4443, section 2.4 c
#define ICMP_BYTES 8
#define ICMP_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4 // code
#define ICMPV6_TOO_BIG 2
#define ICMPV6_QUERIES 128 // types from here on are no errors
#define ICMPV6_REDIRECT 137
#define UDP_BYTES 8
#define PROTO_UDP 17
#define TOS_CONTROL 0xc0 // precedence 6, RFC 1812, section 4.3.2.5

_Static_assert(FRAME_MIN + FRAME_MAX_TAGS * 4 + IPV6_ANSWER_MAX == ICMP_TOO_BIG_MAX, "ICMP_TOO_BIG_MAX is the longest");

// Echo, timestamp, information, address mask and router discovery; all others are errors or
// unknown.
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

// The IP header of the quoted packet. Returns its length, 0: none of ours.
static size_t
parse_quote(const uint8_t *ip, size_t room, struct icmp_too_big_news *news)
{
	if (news->is_ipv6) {
		if (room < IP_V6_BYTES + UDP_BYTES || ip[0] >> 4 != 6 || ip[6] != PROTO_UDP ||
			IP_V6_BYTES + (uint32_t)bytes_load16(ip + 4) <= news->mtu)
			return 0;
		memcpy(news->src, ip + 8, 16);
		memcpy(news->dst, ip + 24, 16);
		return IP_V6_BYTES;
	}
	if (room < IP_V4_BYTES + UDP_BYTES || ip[0] != 0x45 || ip[9] != PROTO_UDP || bytes_load16(ip + 4) ||
		bytes_load16(ip + 6) != IP_V4_DF || bytes_load16(ip + 2) <= news->mtu)
		return 0;
	memcpy(news->src, ip + 12, 4);
	memcpy(news->dst, ip + 16, 4);
	return IP_V4_BYTES;
}

// The UDP header of the quoted packet, and what there is of Geneve.
static bool
parse_quoted_udp(const uint8_t *udp, size_t room, struct icmp_too_big_news *news)
{
	const uint8_t *geneve = udp + UDP_BYTES;

	if (bytes_load16(udp) < GENEVE_SOURCE_PORT_MIN || bytes_load16(udp + 2) != GENEVE_PORT)
		return false;
	news->has_vni = room >= UDP_BYTES + 8;
	if (!news->has_vni)
		return true;
	news->vni = bytes_load32(geneve + 4) >> 8;
	return !(geneve[0] >> 6) && bytes_load16(geneve + 2) == GENEVE_PROTOCOL;
}

bool
icmp_too_big_parse(const uint8_t *data, size_t len, struct icmp_too_big_news *ret_news)
{
	struct icmp_too_big_news news = {0};
	const uint8_t *ip, *icmp, *quote;
	struct frame_l2 l2;
	struct frame_l3 l3;
	size_t icmp_len, quoted;

	if (!frame_parse_l2(data, len, &l2))
		return false;
	frame_parse_l3(data, len, &l2, &l3);
	news.is_ipv6 = l3.kind == FRAME_IPV6;
	if (l3.is_malformed || l3.is_fragment || l3.has_more_fragments || !l3.l4_offset ||
		l3.proto != (news.is_ipv6 ? IP_PROTO_ICMPV6 : IP_PROTO_ICMP) ||
		(l3.kind != FRAME_IPV4 && (!news.is_ipv6 || l3.l3_len != IP_V6_BYTES)))
		return false;
	ip = l3.src - (news.is_ipv6 ? 8 : 12);
	icmp = data + l3.l4_offset;
	icmp_len = news.is_ipv6 ? bytes_load16(ip + 4) : (size_t)(bytes_load16(ip + 2) - l3.l3_len);
	if (icmp_len < ICMP_BYTES || icmp[0] != (news.is_ipv6 ? ICMPV6_TOO_BIG : ICMP_UNREACHABLE) ||
		icmp[1] != (news.is_ipv6 ? 0 : ICMP_FRAGMENTATION_NEEDED) ||
		(news.is_ipv6 ? ip_icmpv6_sum(ip, icmp_len) :
				frame_checksum_fold(frame_checksum_add(0, icmp, icmp_len))) != 0xffff)
		return false;
	news.mtu = news.is_ipv6 ? bytes_load32(icmp + 4) : bytes_load16(icmp + 6);
	quote = icmp + ICMP_BYTES;
	quoted = parse_quote(quote, icmp_len - ICMP_BYTES, &news);
	if (!quoted || !parse_quoted_udp(quote + quoted, icmp_len - ICMP_BYTES - quoted, &news) ||
		memcmp(l3.dst, news.src, news.is_ipv6 ? 16 : 4) != 0)
		return false;
	*ret_news = news;
	return true;
}
