// Geneve encapsulation from precomputed headers, and decapsulation of any bytes. The datapath calls
// both for each packet: push copies a template and patches lengths, parse goes through the headers
// once.
// Invariant: parse reads no byte outside [data, data + len), and all bytes behind the UDP
// datagram's own end are padding. The one loop, over options, is bounded by their 252 bytes.
// Sources: RFC 8926; RFC 9197 (option body), RFC 8877 (its timestamp), RFC 6040 (ECN), RFC 6864,
// 6935, 6936.
#include "rtvs/geneve.h"

#include "bytes.h"
#include "rtvs/frame.h"
#include "rtvs/frame_flow.h"
#include "tai.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define TAG_BYTES 4
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define IPV4_DF 0x4000
#define IPV4_MF 0x2000
#define IPV4_OFFSET 0x1fff
#define FRAGMENT_BYTES 8
#define UDP_BYTES 8
#define GENEVE_BYTES 8
#define OPTION_BYTES 4
#define PROTO_UDP 17
#define PROTO_FRAGMENT 44
#define FLAG_CONTROL 0x80 // second byte of the header
#define OPTION_CRITICAL 0x80 // of an option's type
// Offsets in our option.
#define META_IOAM 4
#define META_SEQ 8
#define META_SECONDS 16
#define META_FRACTION 20
#define META_RESIDENCE 24
#define META_DEADLINE 28
#define META_FLOW 32
#define META_RESERVED 34

_Static_assert(FRAME_MIN + TAG_BYTES + IPV6_BYTES + UDP_BYTES + GENEVE_BYTES + GENEVE_META_BYTES == GENEVE_HEADER_MAX,
	"GENEVE_HEADER_MAX holds all headers");
_Static_assert(UINT16_MAX - IPV4_BYTES - UDP_BYTES - GENEVE_BYTES - GENEVE_META_BYTES == GENEVE_INNER_MAX,
	"lengths of the largest frame fit");

static size_t
put_ethernet(uint8_t *p, const struct geneve_tunnel *tunnel)
{
	size_t offset = 12;

	memcpy(p, tunnel->remote_mac.b, 6);
	memcpy(p + 6, tunnel->local_mac.b, 6);
	if (tunnel->vlan) {
		bytes_store16(p + 12, FRAME_ETHER_VLAN);
		bytes_store16(p + 14, tunnel->vlan);
		offset += TAG_BYTES;
	}
	bytes_store16(p + offset, tunnel->is_ipv6 ? FRAME_ETHER_IPV6 : FRAME_ETHER_IPV4);
	return offset + 2;
}

static size_t
put_ip(uint8_t *p, const struct geneve_tunnel *tunnel)
{
	if (tunnel->is_ipv6) {
		p[0] = 0x60;
		p[6] = PROTO_UDP;
		p[7] = tunnel->hop_limit;
		memcpy(p + 8, tunnel->local, 16);
		memcpy(p + 24, tunnel->remote, 16);
		return IPV6_BYTES;
	}
	p[0] = 0x45;
	bytes_store16(p + 6, IPV4_DF);
	p[8] = tunnel->hop_limit;
	p[9] = PROTO_UDP;
	memcpy(p + 12, tunnel->local, 4);
	memcpy(p + 16, tunnel->remote, 4);
	return IPV4_BYTES;
}

static size_t
put_geneve(uint8_t *p, const struct geneve_tunnel *tunnel)
{
	uint8_t *meta = p + GENEVE_BYTES;

	p[0] = tunnel->has_meta ? GENEVE_META_BYTES / 4 : 0;
	bytes_store16(p + 2, GENEVE_PROTOCOL);
	bytes_store32(p + 4, tunnel->vni << 8);
	if (!tunnel->has_meta)
		return GENEVE_BYTES;
	bytes_store16(meta, tunnel->option_class);
	meta[2] = GENEVE_META_TYPE;
	meta[3] = (GENEVE_META_BYTES - OPTION_BYTES) / 4;
	bytes_store16(meta + META_IOAM, GENEVE_IOAM_NAMESPACE);
	bytes_store16(meta + META_IOAM + 2, GENEVE_IOAM_TYPE);
	return GENEVE_BYTES + GENEVE_META_BYTES;
}

int
geneve_template_init(struct geneve_template *t, const struct geneve_tunnel *tunnel)
{
	size_t l3, udp, geneve, len;

	if (tunnel->vni > GENEVE_VNI_MAX || tunnel->vlan > RTVS_VLAN_MAX || !tunnel->hop_limit)
		return -EINVAL;
	*t = (struct geneve_template){.is_ipv6 = tunnel->is_ipv6, .has_csum = tunnel->has_csum};
	l3 = put_ethernet(t->bytes, tunnel);
	udp = l3 + put_ip(t->bytes + l3, tunnel);
	bytes_store16(t->bytes + udp + 2, GENEVE_PORT);
	geneve = udp + UDP_BYTES;
	len = geneve + put_geneve(t->bytes + geneve, tunnel);
	t->l3_offset = (uint8_t)l3;
	t->udp_offset = (uint8_t)udp;
	t->meta_offset = tunnel->has_meta ? (uint8_t)(geneve + GENEVE_BYTES) : 0;
	t->len = (uint8_t)len;
	t->pseudo_sum = frame_checksum_fold(t->is_ipv6 ? frame_checksum_add(PROTO_UDP, t->bytes + l3 + 8, 32) :
							 frame_checksum_add(PROTO_UDP, t->bytes + l3 + 12, 8));
	t->ipv4_sum = frame_checksum_fold(frame_checksum_add(0, t->bytes + l3, IPV4_BYTES));
	return 0;
}

// In pieces of constant length, which overlap.
static void
copy_headers(uint8_t *out, const struct geneve_template *t)
{
	enum {
		PIECE = 48
	};
	_Static_assert(FRAME_MIN + IPV4_BYTES + UDP_BYTES + GENEVE_BYTES >= PIECE, "all headers have a piece");
	_Static_assert(GENEVE_HEADER_MAX <= 3 * PIECE, "no headers have more than three");

	memcpy(out, t->bytes, PIECE);
	if (t->len > 2 * PIECE)
		memcpy(out + PIECE, t->bytes + PIECE, PIECE);
	memcpy(out + t->len - PIECE, t->bytes + t->len - PIECE, PIECE);
}

static void
push_headers(const struct geneve_template *t, uint8_t *out, size_t inner_len, uint16_t source_port, uint8_t tos)
{
	uint8_t *ip = out + t->l3_offset, *udp = out + t->udp_offset;
	uint16_t udp_len = (uint16_t)(t->len - t->udp_offset + inner_len);

	assert(inner_len >= GENEVE_INNER_MIN && inner_len <= GENEVE_INNER_MAX);
	copy_headers(out, t);
	if (t->is_ipv6) {
		bytes_store32(ip, UINT32_C(6) << 28 | (uint32_t)tos << 20 | source_port);
		bytes_store16(ip + 4, udp_len);
	} else {
		uint16_t total_len = (uint16_t)(udp_len + IPV4_BYTES);

		ip[1] = tos;
		bytes_store16(ip + 2, total_len);
		bytes_store16(ip + 10, (uint16_t)~frame_checksum_fold((uint64_t)t->ipv4_sum + tos + total_len));
	}
	bytes_store16(udp, source_port);
	bytes_store16(udp + 4, udp_len);
	if (t->has_csum)
		bytes_store16(udp + 6, frame_checksum_fold((uint64_t)t->pseudo_sum + udp_len));
}

static void
store_common(uint8_t *meta, uint32_t deadline_ns, uint16_t flow)
{
	bytes_store32(meta + META_DEADLINE, deadline_ns);
	bytes_store16(meta + META_FLOW, flow);
}

static void
store_departure(uint8_t *meta, uint64_t time_ns, uint64_t residence_ns)
{
	bytes_store32(meta + META_SECONDS, (uint32_t)(time_ns / TAI_NS_PER_S));
	bytes_store32(meta + META_FRACTION, (uint32_t)(time_ns % TAI_NS_PER_S));
	bytes_store32(meta + META_RESIDENCE, residence_ns < UINT32_MAX ? (uint32_t)residence_ns : UINT32_MAX);
}

void
geneve_push(const struct geneve_template *t, uint8_t *out, size_t inner_len, uint16_t source_port, uint8_t tos,
	uint32_t deadline_ns, uint16_t flow)
{
	push_headers(t, out, inner_len, source_port, tos);
	if (t->meta_offset)
		store_common(out + t->meta_offset, deadline_ns, flow);
}

void
geneve_run_init(struct geneve_template *run, const struct geneve_template *t, uint64_t time_ns, uint64_t residence_ns,
	uint32_t deadline_ns, uint16_t flow)
{
	assert(!t->has_csum);
	*run = *t;
	if (t->meta_offset) {
		store_common(run->bytes + t->meta_offset, deadline_ns, flow);
		store_departure(run->bytes + t->meta_offset, time_ns, residence_ns);
	}
}

void
geneve_push_run(const struct geneve_template *run, uint8_t *out, size_t inner_len, uint16_t source_port, uint8_t tos,
	uint64_t seq)
{
	push_headers(run, out, inner_len, source_port, tos);
	if (run->meta_offset)
		bytes_store64(out + run->meta_offset + META_SEQ, seq);
}

void
geneve_finish_checksum(uint8_t *headers, const struct geneve_template *t, size_t inner_len)
{
	uint8_t *udp = headers + t->udp_offset;

	bytes_store16(udp + 6, frame_checksum_finish(frame_checksum_add(0, udp, t->len - t->udp_offset + inner_len)));
}

void
geneve_patch_meta(uint8_t *headers, const struct geneve_template *t, uint64_t seq, uint64_t time_ns,
	uint64_t residence_ns, bool has_whole_csum)
{
	uint8_t *p = headers + t->meta_offset, *csum = headers + t->udp_offset + 6;
	uint64_t sum = 0;

	if (!t->meta_offset)
		return;
	if (has_whole_csum) // less what is there now (RFC 1624)
		sum = (uint64_t)(uint16_t)~bytes_load16(csum) +
			(uint16_t)~frame_checksum_fold(frame_checksum_add(0, p + META_SEQ, META_DEADLINE - META_SEQ));
	bytes_store64(p + META_SEQ, seq);
	store_departure(p, time_ns, residence_ns);
	if (has_whole_csum)
		bytes_store16(
			csum, frame_checksum_finish(frame_checksum_add(sum, p + META_SEQ, META_DEADLINE - META_SEQ)));
}

uint16_t
geneve_source_port(const uint8_t *frame, size_t len)
{
	uint64_t hash = frame_flow_hash(frame, len);

	return (uint16_t)(GENEVE_SOURCE_PORT_MIN + (hash & (UINT16_MAX - GENEVE_SOURCE_PORT_MIN)));
}

// A UDP datagram to our port: udp to end are inside of the frame and of the IP packet.
struct datagram {
	const uint8_t *udp, *end;
	uint64_t pseudo_sum; // of addresses
};

// room: bytes of the frame from the IP header on.
static enum geneve_result
parse_ipv4(const uint8_t *ip, size_t room, struct geneve_packet *packet, struct datagram *ret_datagram)
{
	if (room < IPV4_BYTES || ip[0] >> 4 != 4 || ip[9] != PROTO_UDP)
		return GENEVE_NOT_OURS;
	size_t header_len = (size_t)(ip[0] & 15) * 4;
	size_t total_len = bytes_load16(ip + 2);
	uint16_t fragment = bytes_load16(ip + 6);

	if (header_len < IPV4_BYTES || room < header_len + 4 || (fragment & IPV4_OFFSET) ||
		bytes_load16(ip + header_len + 2) != GENEVE_PORT)
		return GENEVE_NOT_OURS;
	if (total_len > room || total_len < header_len)
		return GENEVE_MALFORMED;
	if (frame_checksum_fold(frame_checksum_add(0, ip, header_len)) != 0xffff)
		return GENEVE_IP_CHECKSUM;
	if (fragment & IPV4_MF)
		return GENEVE_FRAGMENT;
	packet->is_ipv6 = false;
	packet->tos = ip[1];
	packet->src = ip + 12;
	packet->dst = ip + 16;
	*ret_datagram = (struct datagram){ip + header_len, ip + total_len, frame_checksum_add(0, ip + 12, 8)};
	return GENEVE_OK;
}

static enum geneve_result
parse_ipv6(const uint8_t *ip, size_t room, struct geneve_packet *packet, struct datagram *ret_datagram)
{
	size_t udp = IPV6_BYTES;

	if (room < IPV6_BYTES + 4 || ip[0] >> 4 != 6)
		return GENEVE_NOT_OURS;
	bool is_fragment = ip[6] == PROTO_FRAGMENT;
	uint8_t proto = is_fragment ? ip[IPV6_BYTES] : ip[6];
	size_t payload_len = bytes_load16(ip + 4);

	if (is_fragment) {
		udp += FRAGMENT_BYTES;
		if (room < udp + 4 || bytes_load16(ip + IPV6_BYTES + 2) >> 3)
			return GENEVE_NOT_OURS;
	}
	if (proto != PROTO_UDP || bytes_load16(ip + udp + 2) != GENEVE_PORT)
		return GENEVE_NOT_OURS;
	if (payload_len > room - IPV6_BYTES)
		return GENEVE_MALFORMED;
	if (is_fragment)
		return GENEVE_FRAGMENT;
	packet->is_ipv6 = true;
	packet->tos = (uint8_t)(bytes_load16(ip) >> 4);
	packet->src = ip + 8;
	packet->dst = ip + 24;
	*ret_datagram = (struct datagram){ip + udp, ip + udp + payload_len, frame_checksum_add(0, ip + 8, 32)};
	return GENEVE_OK;
}

// Cuts the datagram to its own length (bytes beyond, within IP, are ignored, RFC 9868) and verifies
// a present checksum.
static enum geneve_result
parse_udp(struct datagram *d, struct geneve_packet *packet)
{
	size_t room = (size_t)(d->end - d->udp);
	uint16_t udp_len = room >= UDP_BYTES ? bytes_load16(d->udp + 4) : 0;

	if (udp_len < UDP_BYTES + GENEVE_BYTES || udp_len > room)
		return GENEVE_MALFORMED;
	if (bytes_load16(d->udp + 6)) {
		uint64_t sum = frame_checksum_add(d->pseudo_sum + PROTO_UDP + udp_len, d->udp, udp_len);

		if (frame_checksum_fold(sum) != 0xffff)
			return GENEVE_UDP_CHECKSUM;
	}
	d->end = d->udp + udp_len;
	packet->source_port = bytes_load16(d->udp);
	return GENEVE_OK;
}

static bool
is_meta(const uint8_t *option, size_t option_len, uint16_t option_class)
{
	return option_len == GENEVE_META_BYTES && bytes_load16(option) == option_class &&
		option[2] == GENEVE_META_TYPE && bytes_load16(option + META_IOAM) == GENEVE_IOAM_NAMESPACE &&
		bytes_load16(option + META_IOAM + 2) == GENEVE_IOAM_TYPE;
}

static enum geneve_result
parse_meta(const uint8_t *option, uint64_t near_ns, struct geneve_packet *packet)
{
	uint32_t fraction_ns = bytes_load32(option + META_FRACTION);

	if (packet->has_meta || fraction_ns >= TAI_NS_PER_S)
		return GENEVE_MALFORMED;
	packet->has_meta = true;
	packet->meta.seq = bytes_load64(option + META_SEQ);
	packet->meta.time_ns = tai_resolve_s(bytes_load32(option + META_SECONDS), near_ns) * TAI_NS_PER_S + fraction_ns;
	packet->meta.residence_ns = bytes_load32(option + META_RESIDENCE);
	packet->meta.deadline_ns = bytes_load32(option + META_DEADLINE);
	packet->meta.flow = bytes_load16(option + META_FLOW);
	return GENEVE_OK;
}

// The C bit of the header tells transit devices; here every option is looked at.
static enum geneve_result
parse_options(const uint8_t *option, const uint8_t *end, uint64_t near_ns, uint16_t option_class,
	struct geneve_packet *packet)
{
	bool is_critical = false;

	while (option < end) {
		size_t len = OPTION_BYTES + (size_t)(option[3] & 0x1f) * 4;

		if ((size_t)(end - option) < len)
			return GENEVE_MALFORMED;
		packet->n_options++;
		is_critical |= option[2] & OPTION_CRITICAL;
		if (is_meta(option, len, option_class)) {
			enum geneve_result result = parse_meta(option, near_ns, packet);

			if (result)
				return result;
		}
		option += len;
	}
	return is_critical ? GENEVE_CRITICAL : GENEVE_OK;
}

static enum geneve_result
parse_geneve(const struct datagram *d, uint64_t near_ns, uint16_t option_class, struct geneve_packet *packet)
{
	const uint8_t *geneve = d->udp + UDP_BYTES, *options = geneve + GENEVE_BYTES;
	size_t options_len = (size_t)(geneve[0] & 0x3f) * 4;
	enum geneve_result result;

	if (geneve[0] >> 6)
		return GENEVE_VERSION;
	if ((size_t)(d->end - options) < options_len)
		return GENEVE_MALFORMED;
	if (geneve[1] & FLAG_CONTROL)
		return GENEVE_CONTROL;
	if (bytes_load16(geneve + 2) != GENEVE_PROTOCOL)
		return GENEVE_PROTOCOL_TYPE;
	result = parse_options(options, options + options_len, near_ns, option_class, packet);
	if (result && result != GENEVE_CRITICAL)
		return result;
	if ((size_t)(d->end - options) - options_len < GENEVE_INNER_MIN)
		return GENEVE_INNER_SHORT;
	packet->options_len = (uint8_t)options_len;
	packet->vni = bytes_load32(geneve + 4) >> 8;
	packet->inner_len = (uint16_t)((size_t)(d->end - options) - options_len);
	return result;
}

enum geneve_result
geneve_parse(const uint8_t *data, size_t len, uint64_t near_ns, uint16_t option_class, struct geneve_packet *ret_packet)
{
	enum geneve_result result = GENEVE_NOT_OURS;
	struct datagram datagram;
	struct frame_l2 l2;

	// Written in place: a copy would wait for its parts.
	ret_packet->has_meta = false;
	ret_packet->n_options = 0;
	if (!frame_parse_l2(data, len, &l2))
		return GENEVE_NOT_OURS;
	if (l2.ether_type == FRAME_ETHER_IPV4)
		result = parse_ipv4(data + l2.l3_offset, len - l2.l3_offset, ret_packet, &datagram);
	else if (l2.ether_type == FRAME_ETHER_IPV6)
		result = parse_ipv6(data + l2.l3_offset, len - l2.l3_offset, ret_packet, &datagram);
	if (!result)
		result = parse_udp(&datagram, ret_packet);
	if (!result)
		result = parse_geneve(&datagram, near_ns, option_class, ret_packet);
	if (result && result != GENEVE_CRITICAL)
		return result;
	ret_packet->vlan = l2.vlan;
	ret_packet->inner_offset = (uint16_t)(datagram.end - data - ret_packet->inner_len);
	return result;
}

bool
geneve_is_in_head(const uint8_t *data, size_t n)
{
	struct frame_l2 l2;
	size_t udp;

	if (!frame_parse_l2(data, n, &l2) || (size_t)l2.l3_offset + IPV6_BYTES > n)
		return false;
	if (l2.ether_type == FRAME_ETHER_IPV4)
		udp = l2.l3_offset + (size_t)(data[l2.l3_offset] & 15) * 4;
	else if (l2.ether_type == FRAME_ETHER_IPV6 && data[l2.l3_offset + 6] == PROTO_UDP)
		udp = l2.l3_offset + IPV6_BYTES;
	else
		return false;
	if (udp + UDP_BYTES + GENEVE_BYTES > n || bytes_load16(data + udp + 6)) // a checksum of all
		return false;
	return udp + UDP_BYTES + GENEVE_BYTES + (size_t)(data[udp + UDP_BYTES] & 0x3f) * 4 + GENEVE_INNER_MIN <= n;
}

bool
geneve_inner_ecn(uint8_t outer_ecn, uint8_t inner_ecn, uint8_t *ret_ecn)
{
	enum {
		NOT_ECT,
		ECT_1,
		ECT_0,
		CE,
		DROP
	};
	// [inner][outer]
	static const uint8_t table[4][4] = {
		[NOT_ECT] = {NOT_ECT, NOT_ECT, NOT_ECT, DROP},
		[ECT_1] = {ECT_1, ECT_1, ECT_1, CE},
		[ECT_0] = {ECT_0, ECT_1, ECT_0, CE},
		[CE] = {CE, CE, CE, CE},
	};
	uint8_t ecn = table[inner_ecn & 3][outer_ecn & 3];

	if (ecn == DROP)
		return false;
	*ret_ecn = ecn;
	return true;
}
