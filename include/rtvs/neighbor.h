// The protocols of an Ethernet address that no kernel has: finding neighbours and being found (ARP,
// RFC 826; neighbor discovery, RFC 4861), and answering pings (RFC 792, 4443). Pure. Frames are
// whole, untagged or with one 802.1Q tag. The caller decides which answers to believe, for how
// long, and how many to send a second.
#pragma once

#include "rtvs/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEIGHBOR_MAX 90 // bytes of any frame that is made here, without Ethernet's padding

// An address of ours.
struct neighbor_self {
	bool is_ipv6;
	uint16_t vlan; // 0: untagged, to RTVS_VLAN_MAX
	struct mac mac;
	uint8_t addr[16]; // IPv4: the first four bytes
};

struct neighbor_msg {
	bool is_ipv6;
	bool is_reply; // ARP reply or advertisement, else request or solicitation
	bool has_mac; // always with ARP
	bool is_solicited, is_override; // flags of an advertisement; ARP: both as is_reply
	uint16_t vlan; // as in frame_l2
	struct mac from; // Ethernet source
	struct mac mac; // of addr, if has_mac
	// The address of the MAC: of the asking host, or of the answering one; all 0: the asking
	// host has none yet.
	uint8_t addr[16];
	// Requests: the address asked for; ARP replies: the receiver; advertisements: as addr.
	uint8_t target[16];
};

// -ENOMSG: none of these four messages: pass it on. -EBADMSG: ignore it: truncated, an address that
// no host can have (RFC 1812, section 3.3.2), or forbidden by RFC 4861, section 7.1: hop limit
// below 255, wrong checksum, code, flags, target, options. With IPv6 extension headers there is no
// such message (RFC 6980 for fragments). ret_msg is untouched on failure.
int neighbor_parse(const uint8_t *data, size_t len, struct neighbor_msg *ret_msg);
// Whether it asks for this address, in its VLAN.
bool neighbor_asks_for(const struct neighbor_msg *msg, const struct neighbor_self *self);

// These write a frame to out and return its length. Asks for target, 4 or 16 bytes. to: NULL asks
// all hosts that could have it; otherwise this neighbor is probed.
size_t neighbor_request(
	const struct neighbor_self *self, const uint8_t *target, const struct mac *to, uint8_t out[NEIGHBOR_MAX]);
// request: one that asks for self.
size_t neighbor_reply(const struct neighbor_self *self, const struct neighbor_msg *request, uint8_t out[NEIGHBOR_MAX]);
// Tells all hosts, so that those with another MAC forget it (RFC 5227, section 2.3; RFC 4861,
// section 7.2.6).
size_t neighbor_announce(const struct neighbor_self *self, uint8_t out[NEIGHBOR_MAX]);

// Turns an echo request to self, by its MAC, VLAN and address, into the reply in place: the same
// length, hop limit 64. -ENOMSG: no such request; also fragments, IPv4 options and senders that are
// not one host. -EBADMSG: lengths or checksums are wrong. Nothing was written then.
int neighbor_echo(uint8_t *data, size_t len, const struct neighbor_self *self);
