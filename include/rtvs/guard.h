// Spoof guard: may this frame leave this port? Pure, over parsed headers; the caller parses L3 only
// when guard_needs_l3. The rules are those of OpenStack's and libvirt's anti-spoofing filters:
// - allowed MACs not empty: the source MAC, the sender MAC of ARP and RARP and ND's link-layer
//   options are among them;
// - allowed IPs not empty: only IPv4, IPv6, ARP and RARP leave; the source address, ARP's sender
//   address and an NA's target are within them. Unspecified addresses are allowed where protocols
//   need them. These are 0.0.0.0 for DHCP (UDP 68 to 67, no fragments) and ARP probes (RFC 5227),
//   and :: for DAD (RFC 4862, NS without link-layer option), MLD reports (RFC 3590) and router
//   solicitations (RFC 4861, 4.1). Probes and DAD are only for allowed addresses, or they would
//   keep other guests from theirs. When any IPv6 prefix is allowed, so are link-local addresses
//   (fe80::/64) made from an allowed MAC (RFC 4291, appendix A). Other link-local addresses are
//   allowed unless the list has some: hosts choose them at random (RFC 7217, RFC 8981);
// - either not empty: of RARP (RFC 903) only requests leave, which claim no address: hypervisors
//   send them after a migration;
// - either not empty: router advertisements and redirects do not leave; ND in fragments does not
//   (RFC 6980), nor ND with two link-layer addresses, nor a packet whose headers are unclear.
#pragma once

#include "rtvs/drop.h"
#include "rtvs/frame.h"
#include "rtvs/types.h"

struct guard {
	uint64_t mac[RTVS_MAX_MACS];
	uint8_t n_macs;
	struct prefix_list ips;
};

void guard_init(struct guard *g, const struct mac_list *macs, const struct prefix_list *ips);

static inline bool
guard_is_active(const struct guard *g)
{
	return g->n_macs || g->ips.n;
}

static inline bool
guard_allows_mac(const struct guard *g, uint64_t src)
{
	if (!g->n_macs || src == g->mac[0])
		return true;
	for (unsigned i = 1; i < g->n_macs; i++)
		if (src == g->mac[i])
			return true;
	return false;
}

// True when the MAC alone does not decide: any IP rule, or ARP, RARP and IPv6 (ND) under a MAC
// rule. Double-tagged frames too.
bool guard_needs_l3(const struct guard *g, const struct frame_l2 *l2);
// l3: parsed from the same frame of len bytes at data. DROP_NONE, DROP_SPOOF_* or DROP_MALFORMED.
enum drop guard_check_l3(
	const struct guard *g, const uint8_t *data, size_t len, const struct frame_l2 *l2, const struct frame_l3 *l3);

// All of it, for a frame of len bytes, whose first n_head ones are at data.
static inline enum drop
guard_check(const struct guard *g, const uint8_t *data, size_t n_head, size_t len, const struct frame_l2 *l2)
{
	struct frame_l3 l3;

	if (!guard_allows_mac(g, l2->src))
		return DROP_SPOOF_MAC;
	if (!guard_needs_l3(g, l2))
		return DROP_NONE;
	frame_parse_l3_head(data, n_head, len, l2, &l3);
	return guard_check_l3(g, data, n_head, l2, &l3);
}
