#include "tunnel_end.h"

#include <rte_arp.h>
#include <rte_geneve.h>
#include <rte_ip.h>
#include <rte_udp.h>

struct outer {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	struct rte_geneve_hdr geneve;
} __attribute__((packed, aligned(2)));

static void
exchange(struct rte_ether_hdr *eth)
{
	struct rte_ether_addr addr = eth->src_addr;

	eth->src_addr = eth->dst_addr;
	eth->dst_addr = addr;
}

static enum tunnel_end_answer
answer_arp(uint8_t *frame, size_t len, const struct rte_ether_addr *own)
{
	struct rte_ether_hdr *eth = (void *)frame;
	struct rte_arp_hdr *arp = (void *)(frame + sizeof(*eth));
	rte_be32_t ip = arp->arp_data.arp_sip;

	if (len < sizeof(*eth) + sizeof(*arp) || arp->arp_opcode != rte_cpu_to_be_16(RTE_ARP_OP_REQUEST) ||
		ip == arp->arp_data.arp_tip)
		return TUNNEL_END_NOTHING;
	eth->dst_addr = eth->src_addr;
	eth->src_addr = *own;
	arp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
	arp->arp_data.arp_tha = arp->arp_data.arp_sha;
	arp->arp_data.arp_sip = arp->arp_data.arp_tip;
	arp->arp_data.arp_sha = *own;
	arp->arp_data.arp_tip = ip;
	return TUNNEL_END_ARP;
}

enum tunnel_end_answer
tunnel_end_answer(uint8_t *frame, size_t len, const struct rte_ether_addr *own)
{
	struct outer *h = (void *)frame;
	size_t inner;
	rte_be32_t ip;

	if (len < sizeof(h->eth))
		return TUNNEL_END_NOTHING;
	if (h->eth.ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP))
		return answer_arp(frame, len, own);
	if (len < sizeof(*h) || h->eth.ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
		h->ip.version_ihl != RTE_IPV4_VHL_DEF || h->ip.next_proto_id != IPPROTO_UDP ||
		h->udp.dst_port != rte_cpu_to_be_16(RTE_GENEVE_DEFAULT_PORT))
		return TUNNEL_END_NOTHING;
	inner = sizeof(*h) + h->geneve.opt_len * 4u;
	if (len < inner + sizeof(struct rte_ether_hdr))
		return TUNNEL_END_NOTHING;
	exchange(&h->eth);
	ip = h->ip.src_addr;
	h->ip.src_addr = h->ip.dst_addr;
	h->ip.dst_addr = ip;
	exchange((void *)(frame + inner));
	return TUNNEL_END_FRAME;
}
