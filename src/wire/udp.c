// The codec of rtvs/udp.h. Invariant: parse reads no byte outside [frame, frame + len).
#include "rtvs/udp.h"

#include "bytes.h"
#include "rtvs/frame.h"

#include <string.h>

#define TAG_BYTES 4
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8
#define IPV4_DF 0x4000
#define IPV4_FRAGMENT 0x3fff // MF and offset
#define PROTO_UDP 17

static uint64_t
pseudo_sum(const struct udp_datagram *d, uint16_t udp_len)
{
	unsigned n = d->is_ipv6 ? 16 : 4;

	return frame_checksum_add(frame_checksum_add((uint64_t)PROTO_UDP + udp_len, d->src, n), d->dst, n);
}

size_t
udp_build(const struct udp_datagram *d, uint8_t out[UDP_HEADERS_MAX + UDP_DATA_MAX])
{
	uint16_t udp_len = (uint16_t)(UDP_BYTES + d->len);
	uint8_t *p = out;

	memcpy(p, d->dst_mac.b, 6);
	memcpy(p + 6, d->src_mac.b, 6);
	p += 12;
	if (d->vlan) {
		bytes_store16(p, FRAME_ETHER_VLAN);
		bytes_store16(p + 2, d->vlan);
		p += TAG_BYTES;
	}
	bytes_store16(p, d->is_ipv6 ? FRAME_ETHER_IPV6 : FRAME_ETHER_IPV4);
	p += 2;
	if (d->is_ipv6) {
		bytes_store32(p, UINT32_C(6) << 28 | (uint32_t)d->tos << 20);
		bytes_store16(p + 4, udp_len);
		p[6] = PROTO_UDP;
		p[7] = d->hop_limit;
		memcpy(p + 8, d->src, 16);
		memcpy(p + 24, d->dst, 16);
		p += IPV6_BYTES;
	} else {
		memset(p, 0, IPV4_BYTES);
		p[0] = 0x45;
		p[1] = d->tos;
		bytes_store16(p + 2, (uint16_t)(IPV4_BYTES + udp_len));
		bytes_store16(p + 6, IPV4_DF);
		p[8] = d->hop_limit;
		p[9] = PROTO_UDP;
		memcpy(p + 12, d->src, 4);
		memcpy(p + 16, d->dst, 4);
		bytes_store16(p + 10, frame_checksum_finish(frame_checksum_add(0, p, IPV4_BYTES)));
		p += IPV4_BYTES;
	}
	bytes_store16(p, d->src_port);
	bytes_store16(p + 2, d->dst_port);
	bytes_store16(p + 4, udp_len);
	bytes_store16(p + 6, 0);
	memcpy(p + UDP_BYTES, d->data, d->len);
	bytes_store16(p + 6, frame_checksum_finish(frame_checksum_add(pseudo_sum(d, udp_len), p, udp_len)));
	return (size_t)(p + udp_len - out);
}

// Parses the IP header at p, of len bytes including the rest. Returns its length; 0: udp_parse does
// not accept it.
static size_t
parse_ip(const uint8_t *p, size_t len, struct udp_datagram *d, size_t *ret_payload)
{
	size_t total;

	if (d->is_ipv6) {
		if (len < IPV6_BYTES || p[0] >> 4 != 6 || p[6] != PROTO_UDP)
			return 0;
		d->tos = (uint8_t)(bytes_load16(p) >> 4);
		d->hop_limit = p[7];
		*ret_payload = bytes_load16(p + 4);
		memcpy(d->src, p + 8, 16);
		memcpy(d->dst, p + 24, 16);
		return *ret_payload <= len - IPV6_BYTES ? IPV6_BYTES : 0;
	}
	if (len < IPV4_BYTES || p[0] != 0x45 || p[9] != PROTO_UDP || (bytes_load16(p + 6) & IPV4_FRAGMENT) ||
		frame_checksum_fold(frame_checksum_add(0, p, IPV4_BYTES)) != 0xffff)
		return 0;
	total = bytes_load16(p + 2);
	if (total < IPV4_BYTES || total > len)
		return 0;
	d->tos = p[1];
	d->hop_limit = p[8];
	memcpy(d->src, p + 12, 4);
	memcpy(d->dst, p + 16, 4);
	*ret_payload = total - IPV4_BYTES;
	return IPV4_BYTES;
}

bool
udp_parse(const uint8_t *frame, size_t len, struct udp_datagram *ret_d)
{
	struct udp_datagram d = {0};
	struct frame_l2 l2;
	const uint8_t *udp;
	size_t ip_len, payload = 0;
	uint16_t udp_len;

	if (!frame_parse_l2(frame, len, &l2) ||
		(l2.ether_type != FRAME_ETHER_IPV4 && l2.ether_type != FRAME_ETHER_IPV6))
		return false;
	d.is_ipv6 = l2.ether_type == FRAME_ETHER_IPV6;
	d.vlan = l2.vlan;
	memcpy(d.dst_mac.b, frame, 6);
	memcpy(d.src_mac.b, frame + 6, 6);
	ip_len = parse_ip(frame + l2.l3_offset, len - l2.l3_offset, &d, &payload);
	if (!ip_len || payload < UDP_BYTES)
		return false;
	udp = frame + l2.l3_offset + ip_len;
	udp_len = bytes_load16(udp + 4);
	if (udp_len < UDP_BYTES || udp_len > payload || udp_len - UDP_BYTES > UDP_DATA_MAX)
		return false;
	if (!bytes_load16(udp + 6) && d.is_ipv6)
		return false;
	if (bytes_load16(udp + 6) &&
		frame_checksum_fold(frame_checksum_add(pseudo_sum(&d, udp_len), udp, udp_len)) != 0xffff)
		return false;
	d.src_port = bytes_load16(udp);
	d.dst_port = bytes_load16(udp + 2);
	d.data = udp + UDP_BYTES;
	d.len = (uint16_t)(udp_len - UDP_BYTES);
	*ret_d = d;
	return true;
}
