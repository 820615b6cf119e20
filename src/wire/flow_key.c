// Sources: RFC 791, 8200, 826, 9293, 768, 792, 4443.
#include "rtvs/flow_key.h"

#include "bytes.h"
#include "rtvs/frame.h"

#include <string.h>

#define TCP_FLAGS 0x0fff // of bytes 12 and 13
#define IPV6_HEADER 40
#define FRAG_OFFSET 0x1fff
#define FRAG_MORE 0x2000
#define PLAIN_IPV4 0x080045 // the type, version 4 and a header without options
#define PLAIN_IP 14 // where it begins
#define PLAIN_UDP (PLAIN_IP + 20 + 8) // bytes to its end
#define PLAIN_TCP (PLAIN_IP + 20 + 14) // and to the end of the flags
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMP6 58
#define PROTO_SCTP 132

// end: of what is there of the packet, before the frame's padding, which is no header.
static void
read_l4(const uint8_t *data, size_t end, const struct frame_l3 *l3, struct flow_key *key)
{
	const uint8_t *l4 = data + l3->l4_offset;
	size_t n = l3->l4_offset && end > l3->l4_offset ? end - l3->l4_offset : 0;

	switch (l3->proto) {
	case PROTO_TCP:
		if (n >= 14)
			key->tcp_flags = htobe16(bytes_load16(l4 + 12) & TCP_FLAGS);
		// fall through
	case PROTO_UDP:
	case PROTO_SCTP:
		if (n >= 4) {
			key->l4_src = htobe16(bytes_load16(l4));
			key->l4_dst = htobe16(bytes_load16(l4 + 2));
		}
		break;
	case PROTO_ICMP:
	case PROTO_ICMP6:
		if (n >= 2) {
			key->l4_src = htobe16(l4[0]);
			key->l4_dst = htobe16(l4[1]);
		}
		break;
	default:
		break;
	}
}

static void
read_ip(const uint8_t *data, size_t n_head, const struct frame_l3 *l3, struct flow_key *key)
{
	const uint8_t *ip;
	size_t end;

	if (l3->kind == FRAME_IPV4) {
		ip = l3->src - 12;
		memcpy(key->ip_src, l3->src, 4);
		memcpy(key->ip_dst, l3->dst, 4);
		key->ip_tos = ip[1];
		key->ip_ttl = ip[8];
		end = (size_t)(ip - data) + bytes_load16(ip + 2);
	} else {
		ip = l3->src - 8;
		memcpy(key->ip_src, l3->src, 16);
		memcpy(key->ip_dst, l3->dst, 16);
		key->ip_tos = (uint8_t)(bytes_load16(ip) >> 4);
		key->ip_ttl = ip[7];
		end = (size_t)(ip - data) + IPV6_HEADER + bytes_load16(ip + 4);
	}
	key->ip_proto = l3->proto;
	if (l3->is_fragment)
		key->ip_frag = FLOW_FRAG_ANY | FLOW_FRAG_LATER;
	else if (l3->has_more_fragments)
		key->ip_frag = FLOW_FRAG_ANY;
	if (!l3->is_fragment)
		read_l4(data, end < n_head ? end : n_head, l3, key);
}

// Nearly all that comes: IPv4 without a tag, options or fragments, and whole TCP or UDP. False, and
// nothing is read: it is something else.
static bool
read_plain(const uint8_t *data, size_t n_head, size_t len, struct flow_key *key)
{
	size_t n;

	if (n_head < PLAIN_UDP || bytes_load32(data + 12) >> 8 != PLAIN_IPV4 ||
		(bytes_load16(data + 20) & (FRAG_OFFSET | FRAG_MORE)))
		return false;
	n = PLAIN_IP + (size_t)bytes_load16(data + 16);
	if (n > len)
		return false;
	n = n < n_head ? n : n_head;
	if (data[23] == PROTO_TCP ? n < PLAIN_TCP : (data[23] != PROTO_UDP || n < PLAIN_UDP))
		return false;
	memcpy(key->eth_dst, data, sizeof(key->eth_dst));
	memcpy(key->eth_src, data + 6, sizeof(key->eth_src));
	memcpy(&key->ether_type, data + 12, sizeof(key->ether_type));
	memcpy(key->ip_src, data + 26, 4);
	memcpy(key->ip_dst, data + 30, 4);
	memcpy(&key->l4_src, data + 34, sizeof(key->l4_src));
	memcpy(&key->l4_dst, data + 36, sizeof(key->l4_dst));
	key->ip_tos = data[15];
	key->ip_ttl = data[22];
	key->ip_proto = data[23];
	if (data[23] == PROTO_TCP)
		key->tcp_flags = htobe16(bytes_load16(data + 46) & TCP_FLAGS);
	return true;
}

void
flow_key_read(const uint8_t *data, size_t n_head, size_t len, uint16_t in, struct flow_key *ret_key)
{
	struct frame_l2 l2;
	struct frame_l3 l3;

	*ret_key = (struct flow_key){.in = in};
	if (read_plain(data, n_head, len, ret_key) || !frame_parse_l2(data, n_head, &l2))
		return;
	memcpy(ret_key->eth_dst, data, sizeof(ret_key->eth_dst));
	memcpy(ret_key->eth_src, data + 6, sizeof(ret_key->eth_src));
	ret_key->ether_type = htobe16(l2.ether_type);
	if (l2.is_tagged)
		ret_key->vlan = htobe16(bytes_load16(data + 14) | FLOW_KEY_VLAN_PRESENT);
	if (l2.ether_type != FRAME_ETHER_IPV4 && l2.ether_type != FRAME_ETHER_IPV6 && l2.ether_type != FRAME_ETHER_ARP)
		return;
	frame_parse_l3_head(data, n_head, len, &l2, &l3);
	if (l3.is_malformed)
		return;
	if (l3.kind == FRAME_IPV4 || l3.kind == FRAME_IPV6) {
		read_ip(data, n_head, &l3, ret_key);
	} else if (l3.kind == FRAME_ARP) {
		memcpy(ret_key->ip_src, l3.src, 4);
		memcpy(ret_key->ip_dst, l3.dst, 4);
		ret_key->ip_proto = data[l2.l3_offset + 7]; // the operation's low byte
	}
}
