// Sources: RFC 791, 8200, 826, 9293, 768, 792, 4443.
#include "rtvs/flow_key.h"

#include "bytes.h"
#include "rtvs/frame.h"

#include <string.h>

#define TCP_FLAGS 0x0fff // of bytes 12 and 13
#define IPV6_HEADER 40
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMP6 58
#define PROTO_SCTP 132

// end: of the packet, before the frame's padding, which is no header.
static void
read_l4(const uint8_t *data, size_t end, const struct frame_l3 *l3, struct flow_key *key)
{
	const uint8_t *l4 = data + l3->l4_offset;
	size_t n = l3->l4_offset ? end - l3->l4_offset : 0;

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
read_ip(const uint8_t *data, const struct frame_l3 *l3, struct flow_key *key)
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
		read_l4(data, end, l3, key);
}

void
flow_key_read(const uint8_t *data, size_t len, uint16_t in, struct flow_key *ret_key)
{
	struct frame_l2 l2;
	struct frame_l3 l3;

	*ret_key = (struct flow_key){.in = in};
	if (!frame_parse_l2(data, len, &l2))
		return;
	memcpy(ret_key->eth_dst, data, sizeof(ret_key->eth_dst));
	memcpy(ret_key->eth_src, data + 6, sizeof(ret_key->eth_src));
	ret_key->ether_type = htobe16(l2.ether_type);
	if (l2.is_tagged)
		ret_key->vlan = htobe16(bytes_load16(data + 14) | FLOW_KEY_VLAN_PRESENT);
	if (l2.ether_type != FRAME_ETHER_IPV4 && l2.ether_type != FRAME_ETHER_IPV6 && l2.ether_type != FRAME_ETHER_ARP)
		return;
	frame_parse_l3(data, len, &l2, &l3);
	if (l3.is_malformed)
		return;
	if (l3.kind == FRAME_IPV4 || l3.kind == FRAME_IPV6) {
		read_ip(data, &l3, ret_key);
	} else if (l3.kind == FRAME_ARP) {
		memcpy(ret_key->ip_src, l3.src, 4);
		memcpy(ret_key->ip_dst, l3.dst, 4);
		ret_key->ip_proto = data[l2.l3_offset + 7]; // the operation's low byte
	}
}
