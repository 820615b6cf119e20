// ARP, neighbor discovery and echo for an underlay address without a kernel's stack. The control
// plane keeps the table of neighbors; this file handles frames only.
// Invariant: no byte outside [data, data + len) is read, and an accepted message has addresses that
// one host can have. The one loop, over options, is bounded by FRAME_MAX_ND_OPTIONS.
#include "rtvs/neighbor.h"

#include "bytes.h"
#include "ip.h"
#include "rtvs/frame_tos.h"

#include <errno.h>
#include <string.h>

#define ARP_BYTES 28
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define ND_BYTES 24 // of a solicitation or advertisement before its options
#define ND_OPTION_BYTES 8 // of a link-layer address
#define ND_SOLICIT 135
#define ND_ADVERT 136
#define ND_SOURCE_MAC 1
#define ND_TARGET_MAC 2
#define ND_SOLICITED 0x40 // of the flags
#define ND_OVERRIDE 0x20
#define ECHO_BYTES 8
#define IPV4_FRAGMENT 0x3fff // offset and more

_Static_assert(FRAME_MIN + 4 + IP_V6_BYTES + ND_BYTES + ND_OPTION_BYTES == NEIGHBOR_MAX, "NEIGHBOR_MAX is the longest");

static const uint8_t arp_ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};
static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const uint8_t solicited_node[13] = {0xff, 0x02, [11] = 1, [12] = 0xff};
static const struct mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

static int
parse_arp(const uint8_t *arp, size_t room, struct neighbor_msg *msg)
{
	uint16_t op;

	if (room < ARP_BYTES)
		return -EBADMSG;
	op = bytes_load16(arp + 6);
	if (memcmp(arp, arp_ethernet_ipv4, sizeof(arp_ethernet_ipv4)) != 0 || (op != ARP_REQUEST && op != ARP_REPLY))
		return -ENOMSG;
	msg->is_reply = op == ARP_REPLY;
	// A probe has no address yet (RFC 5227).
	bool is_probe = !msg->is_reply && !bytes_load32(arp + 14);

	if (!ip_mac_is_host(arp + 8) || (!is_probe && !ip_v4_is_host(arp + 14)))
		return -EBADMSG;
	msg->has_mac = true;
	msg->is_solicited = msg->is_override = msg->is_reply;
	memcpy(msg->mac.b, arp + 8, 6);
	memcpy(msg->addr, arp + 14, 4);
	memcpy(msg->target, arp + 24, 4);
	return 0;
}

// The one link-layer address of the wanted kind, if there is one. False: options that may not be.
static bool
parse_options(const uint8_t *option, const uint8_t *end, uint8_t wanted, struct neighbor_msg *msg)
{
	for (unsigned i = 0; option < end; i++) {
		size_t len = end - option < 2 ? 0 : (size_t)option[1] * 8;

		if (i == FRAME_MAX_ND_OPTIONS || !len || (size_t)(end - option) < len)
			return false;
		if (option[0] == wanted) {
			if (msg->has_mac || len != ND_OPTION_BYTES || !ip_mac_is_host(option + 2))
				return false;
			msg->has_mac = true;
			memcpy(msg->mac.b, option + 2, 6);
		}
		option += len;
	}
	return true;
}

// RFC 4861, section 7.1.1: a host without an address asks all that could have the target's, and
// names no MAC.
static bool
is_solicitation_valid(const uint8_t *src, const uint8_t *dst, const struct neighbor_msg *msg)
{
	if (!ip_v6_is_unspecified(src))
		return ip_v6_is_host(src);
	return !msg->has_mac && memcmp(dst, solicited_node, sizeof(solicited_node)) == 0;
}

// RFC 4861, section 7.1.2: what goes to many was not asked for by one.
static bool
is_advertisement_valid(const uint8_t *src, const uint8_t *dst, const struct neighbor_msg *msg)
{
	return ip_v6_is_host(src) && !(dst[0] == 0xff && msg->is_solicited);
}

static int
parse_nd(const uint8_t *ip, size_t room, struct neighbor_msg *msg)
{
	const uint8_t *nd = ip + IP_V6_BYTES;

	if (room < IP_V6_BYTES + 1 || ip[0] >> 4 != 6 || ip[6] != IP_PROTO_ICMPV6 ||
		(nd[0] != ND_SOLICIT && nd[0] != ND_ADVERT))
		return -ENOMSG;
	size_t nd_len = bytes_load16(ip + 4);

	if (nd_len > room - IP_V6_BYTES || nd_len < ND_BYTES || ip[7] != 255 || nd[1] || !ip_v6_is_host(nd + 8) ||
		ip_icmpv6_sum(ip, nd_len) != 0xffff)
		return -EBADMSG;
	msg->is_ipv6 = true;
	msg->is_reply = nd[0] == ND_ADVERT;
	msg->is_solicited = msg->is_reply && (nd[4] & ND_SOLICITED);
	msg->is_override = msg->is_reply && (nd[4] & ND_OVERRIDE);
	memcpy(msg->addr, msg->is_reply ? nd + 8 : ip + 8, 16);
	memcpy(msg->target, nd + 8, 16);
	if (!parse_options(nd + ND_BYTES, nd + nd_len, msg->is_reply ? ND_TARGET_MAC : ND_SOURCE_MAC, msg))
		return -EBADMSG;
	if (msg->is_reply ? !is_advertisement_valid(ip + 8, ip + 24, msg) :
			    !is_solicitation_valid(ip + 8, ip + 24, msg))
		return -EBADMSG;
	return 0;
}

int
neighbor_parse(const uint8_t *data, size_t len, struct neighbor_msg *ret_msg)
{
	struct neighbor_msg msg = {0};
	struct frame_l2 l2;
	int rc = -ENOMSG;

	if (!frame_parse_l2(data, len, &l2))
		return -ENOMSG;
	if (l2.ether_type == FRAME_ETHER_ARP)
		rc = parse_arp(data + l2.l3_offset, len - l2.l3_offset, &msg);
	else if (l2.ether_type == FRAME_ETHER_IPV6)
		rc = parse_nd(data + l2.l3_offset, len - l2.l3_offset, &msg);
	if (rc)
		return rc;
	if (!ip_mac_is_host(data + 6))
		return -EBADMSG;
	msg.vlan = l2.vlan;
	memcpy(msg.from.b, data + 6, 6);
	*ret_msg = msg;
	return 0;
}

bool
neighbor_asks_for(const struct neighbor_msg *msg, const struct neighbor_self *self)
{
	return !msg->is_reply && msg->is_ipv6 == self->is_ipv6 && msg->vlan == self->vlan &&
		memcmp(msg->target, self->addr, self->is_ipv6 ? 16 : 4) == 0;
}

// Returns where L3 begins.
static uint8_t *
put_ethernet(uint8_t *p, const struct neighbor_self *self, const struct mac *dst, uint16_t ether_type)
{
	memcpy(p, dst->b, 6);
	memcpy(p + 6, self->mac.b, 6);
	p += 12;
	if (self->vlan) {
		bytes_store16(p, FRAME_ETHER_VLAN);
		bytes_store16(p + 2, self->vlan);
		p += 4;
	}
	bytes_store16(p, ether_type);
	return p + 2;
}

// target_mac: NULL is 0, not known.
static size_t
put_arp(uint8_t *out, const struct neighbor_self *self, uint16_t op, const struct mac *dst,
	const struct mac *target_mac, const uint8_t *target)
{
	uint8_t *arp = put_ethernet(out, self, dst, FRAME_ETHER_ARP);

	memset(arp, 0, ARP_BYTES);
	memcpy(arp, arp_ethernet_ipv4, sizeof(arp_ethernet_ipv4));
	bytes_store16(arp + 6, op);
	memcpy(arp + 8, self->mac.b, 6);
	memcpy(arp + 14, self->addr, 4);
	if (target_mac)
		memcpy(arp + 18, target_mac->b, 6);
	memcpy(arp + 24, target, 4);
	return (size_t)(arp + ARP_BYTES - out);
}

// With our MAC as the option that belongs to the type.
static size_t
put_nd(uint8_t *out, const struct neighbor_self *self, uint8_t type, uint8_t flags, const struct mac *dst_mac,
	const uint8_t *dst, const uint8_t *target)
{
	uint8_t *ip = put_ethernet(out, self, dst_mac, FRAME_ETHER_IPV6), *nd = ip + IP_V6_BYTES,
		*option = nd + ND_BYTES;
	uint16_t nd_len = ND_BYTES + ND_OPTION_BYTES;

	memset(ip, 0, IP_V6_BYTES + (size_t)nd_len);
	ip[0] = 0x60;
	bytes_store16(ip + 4, nd_len);
	ip[6] = IP_PROTO_ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, self->addr, 16);
	memcpy(ip + 24, dst, 16);
	nd[0] = type;
	nd[4] = flags;
	memcpy(nd + 8, target, 16);
	option[0] = type == ND_ADVERT ? ND_TARGET_MAC : ND_SOURCE_MAC;
	option[1] = ND_OPTION_BYTES / 8;
	memcpy(option + 2, self->mac.b, 6);
	bytes_store16(nd + 2, (uint16_t)~ip_icmpv6_sum(ip, nd_len));
	return (size_t)(nd + nd_len - out);
}

// RFC 2464, section 7.
static struct mac
multicast_mac(const uint8_t *group)
{
	return (struct mac){{0x33, 0x33, group[12], group[13], group[14], group[15]}};
}

size_t
neighbor_request(
	const struct neighbor_self *self, const uint8_t *target, const struct mac *to, uint8_t out[NEIGHBOR_MAX])
{
	uint8_t group[16];
	struct mac group_mac;

	if (!self->is_ipv6)
		return put_arp(out, self, ARP_REQUEST, to ? to : &broadcast, NULL, target);
	memcpy(group, solicited_node, sizeof(solicited_node));
	memcpy(group + 13, target + 13, 3);
	group_mac = multicast_mac(group);
	return put_nd(out, self, ND_SOLICIT, 0, to ? to : &group_mac, to ? target : group, target);
}

size_t
neighbor_reply(const struct neighbor_self *self, const struct neighbor_msg *request, uint8_t out[NEIGHBOR_MAX])
{
	const struct mac *to = request->has_mac ? &request->mac : &request->from;

	if (!self->is_ipv6)
		return put_arp(out, self, ARP_REPLY, to, to, request->addr);
	if (ip_v6_is_unspecified(request->addr))
		return neighbor_announce(self, out); // RFC 4861, section 7.2.4
	return put_nd(out, self, ND_ADVERT, ND_SOLICITED | ND_OVERRIDE, to, request->addr, self->addr);
}

size_t
neighbor_announce(const struct neighbor_self *self, uint8_t out[NEIGHBOR_MAX])
{
	struct mac group_mac = multicast_mac(all_nodes);

	if (!self->is_ipv6)
		return put_arp(out, self, ARP_REQUEST, &broadcast, NULL, self->addr);
	return put_nd(out, self, ND_ADVERT, ND_OVERRIDE, &group_mac, all_nodes, self->addr);
}

static void
swap(uint8_t *a, uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = a[i];

		a[i] = b[i];
		b[i] = byte;
	}
}

// RFC 1624, equation 3. A message of only zeroes, which a reply may be, has no right checksum of 0.
static void
set_type(uint8_t *icmp, uint8_t type)
{
	uint64_t sum = (uint64_t)(uint16_t)~bytes_load16(icmp + 2) + (uint16_t)~bytes_load16(icmp);

	icmp[0] = type;
	bytes_store16(icmp + 2, frame_checksum_finish(sum + bytes_load16(icmp)));
}

static int
echo_ipv4(uint8_t *ip, size_t room, const struct neighbor_self *self)
{
	uint8_t *icmp = ip + IP_V4_BYTES;
	size_t total_len;

	if (room < IP_V4_BYTES + ECHO_BYTES || ip[0] != 0x45 || ip[9] != IP_PROTO_ICMP ||
		memcmp(ip + 16, self->addr, 4) != 0 || (bytes_load16(ip + 6) & IPV4_FRAGMENT) ||
		!ip_v4_is_host(ip + 12) || bytes_load16(icmp) != 8 << 8)
		return -ENOMSG;
	total_len = bytes_load16(ip + 2);
	if (total_len > room || total_len < IP_V4_BYTES + ECHO_BYTES ||
		frame_checksum_fold(frame_checksum_add(0, ip, IP_V4_BYTES)) != 0xffff ||
		frame_checksum_fold(frame_checksum_add(0, icmp, total_len - IP_V4_BYTES)) != 0xffff)
		return -EBADMSG;
	swap(ip + 12, ip + 16, 4);
	ip[1] &= FRAME_TOS_DSCP;
	bytes_store16(ip + 4, 0); // with DF it is not needed (RFC 6864)
	bytes_store16(ip + 6, IP_V4_DF);
	ip[8] = IP_HOP_LIMIT;
	bytes_store16(ip + 10, 0);
	bytes_store16(ip + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, ip, IP_V4_BYTES)));
	set_type(icmp, 0);
	return 0;
}

static int
echo_ipv6(uint8_t *ip, size_t room, const struct neighbor_self *self)
{
	uint8_t *icmp = ip + IP_V6_BYTES;
	size_t icmp_len;

	if (room < IP_V6_BYTES + ECHO_BYTES || ip[0] >> 4 != 6 || ip[6] != IP_PROTO_ICMPV6 ||
		memcmp(ip + 24, self->addr, 16) != 0 || !ip_v6_is_host(ip + 8) || bytes_load16(icmp) != 128 << 8)
		return -ENOMSG;
	icmp_len = bytes_load16(ip + 4);
	if (icmp_len > room - IP_V6_BYTES || icmp_len < ECHO_BYTES || ip_icmpv6_sum(ip, icmp_len) != 0xffff)
		return -EBADMSG;
	swap(ip + 8, ip + 24, 16);
	ip[1] &= 0xcf; // ECN
	ip[7] = IP_HOP_LIMIT;
	set_type(icmp, 129);
	return 0;
}

int
neighbor_echo(uint8_t *data, size_t len, const struct neighbor_self *self)
{
	struct frame_l2 l2;
	int rc = -ENOMSG;

	if (!frame_parse_l2(data, len, &l2) || l2.vlan != self->vlan || l2.dst != frame_mac_value(&self->mac) ||
		!ip_mac_is_host(data + 6))
		return -ENOMSG;
	if (l2.ether_type == FRAME_ETHER_IPV4 && !self->is_ipv6)
		rc = echo_ipv4(data + l2.l3_offset, len - l2.l3_offset, self);
	else if (l2.ether_type == FRAME_ETHER_IPV6 && self->is_ipv6)
		rc = echo_ipv6(data + l2.l3_offset, len - l2.l3_offset, self);
	if (!rc)
		swap(data, data + 6, 6);
	return rc;
}
