// Spoof guard: the rules of rtvs/guard.h over headers that frame.c parsed. The datapath asks for
// every frame of a port with allowed MACs or IPs, before it learns anything from the frame.
// Invariant: a frame that is not known to be allowed is refused. Every address that a receiver
// could store in a table of its own (source, ARP sender, ND target and link-layer option) has been
// compared. O(MACs + prefixes).
#include "rtvs/guard.h"

#include <string.h>

#define PROTO_UDP 17
#define PROTO_ICMPV6 58
#define DHCP_SERVER 67
#define DHCP_CLIENT 68
#define ARP_REQUEST 1
#define RARP_REQUEST 3
#define ND_ROUTER_ADVERT 134
#define ND_ROUTER_SOLICIT 133
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_REDIRECT 137
#define MLD_REPORT 131
#define MLD_DONE 132
#define MLD_V2_REPORT 143

static const uint8_t unspecified[16];

static uint16_t
load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

void
guard_init(struct guard *g, const struct mac_list *macs, const struct prefix_list *ips)
{
	*g = (struct guard){.n_macs = macs->n, .ips = *ips};
	for (unsigned i = 0; i < macs->n; i++)
		g->mac[i] = frame_mac_value(&macs->mac[i]);
}

bool
guard_needs_l3(const struct guard *g, const struct frame_l2 *l2)
{
	if (g->ips.n || !g->n_macs)
		return g->ips.n;
	return l2->ether_type == FRAME_ETHER_ARP || l2->ether_type == FRAME_ETHER_RARP ||
		l2->ether_type == FRAME_ETHER_IPV6 || l2->ether_type == FRAME_ETHER_VLAN ||
		l2->ether_type == FRAME_ETHER_QINQ;
}

static bool
prefix_has(const struct prefix *prefix, const uint8_t *addr)
{
	unsigned n_bytes = prefix->len / 8u;
	unsigned n_bits = prefix->len % 8u;

	if (memcmp(prefix->addr, addr, n_bytes) != 0)
		return false;
	return !n_bits || !((prefix->addr[n_bytes] ^ addr[n_bytes]) >> (8 - n_bits));
}

static bool
allows_prefix(const struct guard *g, const uint8_t *addr, bool is_v6)
{
	for (unsigned i = 0; i < g->ips.n; i++)
		if (g->ips.prefix[i].is_v6 == is_v6 && prefix_has(&g->ips.prefix[i], addr))
			return true;
	return false;
}

static bool
allows_any_v6(const struct guard *g)
{
	for (unsigned i = 0; i < g->ips.n; i++)
		if (g->ips.prefix[i].is_v6)
			return true;
	return false;
}

static const uint8_t link_local[8] = {0xfe, 0x80};

static bool
lists_link_local(const struct guard *g)
{
	for (unsigned i = 0; i < g->ips.n; i++)
		if (g->ips.prefix[i].is_v6 && g->ips.prefix[i].len >= 10 &&
			!memcmp(g->ips.prefix[i].addr, link_local, sizeof(link_local)))
			return true;
	return false;
}

// The modified EUI-64 of an allowed MAC, and of no other (an empty list allows none here).
static bool
is_made_of_mac(const struct guard *g, const uint8_t *addr)
{
	const uint8_t mac[6] = {addr[8] ^ 2, addr[9], addr[10], addr[13], addr[14], addr[15]};

	return addr[11] == 0xff && addr[12] == 0xfe && g->n_macs && guard_allows_mac(g, frame_load_mac(mac));
}

static bool
allows_link_local(const struct guard *g, const uint8_t *addr)
{
	return memcmp(addr, link_local, sizeof(link_local)) == 0 && allows_any_v6(g) &&
		(!lists_link_local(g) || is_made_of_mac(g, addr));
}

static bool
allows_v6(const struct guard *g, const uint8_t *addr)
{
	return allows_prefix(g, addr, true) || allows_link_local(g, addr);
}

static bool
is_unspecified(const uint8_t *addr, size_t len)
{
	return memcmp(addr, unspecified, len) == 0;
}

static enum drop
check_arp(const struct guard *g, const struct frame_l3 *l3)
{
	if (!guard_allows_mac(g, l3->arp_sender_mac))
		return DROP_SPOOF_ARP;
	if (!g->ips.n || allows_prefix(g, l3->src, false))
		return DROP_NONE;
	// The operation is 8 bytes before the sender's IP. A probe asks for the address that its
	// sender wants.
	if (load16(l3->src - 8) == ARP_REQUEST && is_unspecified(l3->src, 4) && allows_prefix(g, l3->dst, false))
		return DROP_NONE;
	return DROP_SPOOF_ARP;
}

static enum drop
check_rarp(const struct guard *g, const struct frame_l3 *l3)
{
	bool is_claim = load16(l3->src - 8) != RARP_REQUEST ||
		(g->ips.n && !is_unspecified(l3->src, 4) && !allows_prefix(g, l3->src, false));

	return is_claim || !guard_allows_mac(g, l3->arp_sender_mac) ? DROP_SPOOF_ARP : DROP_NONE;
}

static bool
is_dhcp_request(const uint8_t *data, size_t len, const struct frame_l3 *l3)
{
	return l3->proto == PROTO_UDP && !l3->has_more_fragments && l3->l4_offset && len - l3->l4_offset >= 4u &&
		load16(data + l3->l4_offset) == DHCP_CLIENT && load16(data + l3->l4_offset + 2) == DHCP_SERVER;
}

static enum drop
check_ipv4(const struct guard *g, const uint8_t *data, size_t len, const struct frame_l3 *l3)
{
	if (!g->ips.n || allows_prefix(g, l3->src, false))
		return DROP_NONE;
	return is_unspecified(l3->src, 4) && is_dhcp_request(data, len, l3) ? DROP_NONE : DROP_SPOOF_IP;
}

static enum drop
check_nd(const struct guard *g, const struct frame_l3 *l3)
{
	const struct frame_nd *nd = &l3->nd;

	if (l3->has_fragment_header || nd->type == ND_ROUTER_ADVERT || nd->type == ND_REDIRECT)
		return DROP_SPOOF_ND;
	if (nd->has_second_lladdr || (nd->has_lladdr && !guard_allows_mac(g, nd->lladdr)))
		return DROP_SPOOF_ND;
	if (g->ips.n && nd->type == ND_NEIGHBOUR_ADVERT && !allows_v6(g, nd->target))
		return DROP_SPOOF_ND;
	return DROP_NONE;
}

// Only three kinds of messages may come from ::, namely duplicate address detection, reports for
// the groups that it needs, and router solicitations.
static bool
allows_unspecified_v6(const struct guard *g, const uint8_t *data, const struct frame_l3 *l3)
{
	if (l3->is_nd && l3->nd.type == ND_ROUTER_SOLICIT)
		return !l3->nd.has_lladdr;
	if (l3->is_nd)
		return l3->nd.type == ND_NEIGHBOUR_SOLICIT && !l3->nd.has_lladdr && allows_v6(g, l3->nd.target);
	if (l3->proto != PROTO_ICMPV6 || !l3->l4_offset || l3->has_fragment_header)
		return false;
	uint8_t type = data[l3->l4_offset];

	return type == MLD_REPORT || type == MLD_DONE || type == MLD_V2_REPORT;
}

static enum drop
check_ipv6(const struct guard *g, const uint8_t *data, const struct frame_l3 *l3)
{
	if (l3->is_nd) {
		enum drop reason = check_nd(g, l3);

		if (reason != DROP_NONE)
			return reason;
	}
	if (!g->ips.n || allows_v6(g, l3->src))
		return DROP_NONE;
	return is_unspecified(l3->src, 16) && allows_unspecified_v6(g, data, l3) ? DROP_NONE : DROP_SPOOF_IP;
}

enum drop
guard_check_l3(
	const struct guard *g, const uint8_t *data, size_t len, const struct frame_l2 *l2, const struct frame_l3 *l3)
{
	if (!guard_is_active(g))
		return DROP_NONE;
	if (!guard_allows_mac(g, l2->src))
		return DROP_SPOOF_MAC;
	if (l3->is_malformed)
		return DROP_MALFORMED;
	if (l3->is_unclear)
		return l3->kind == FRAME_IPV6 ? DROP_SPOOF_ND : DROP_SPOOF_TYPE;
	switch (l3->kind) {
	case FRAME_ARP:
		return check_arp(g, l3);
	case FRAME_RARP:
		return check_rarp(g, l3);
	case FRAME_IPV4:
		return check_ipv4(g, data, len, l3);
	case FRAME_IPV6:
		return check_ipv6(g, data, l3);
	case FRAME_OTHER:
		break;
	}
	return g->ips.n ? DROP_SPOOF_TYPE : DROP_NONE;
}
