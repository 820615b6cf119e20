// The far end of a Geneve tunnel over IPv4, for the benches: frames return the way they came, with
// the addresses of both headers exchanged and all bytes between them unchanged. Answers ARP for any
// address.
#pragma once

#include <rte_ether.h>

#include <stddef.h>
#include <stdint.h>

enum tunnel_end_answer {
	TUNNEL_END_NOTHING, // neither of these
	TUNNEL_END_ARP, // a reply now
	TUNNEL_END_FRAME, // of the tunnel, on its way back now
};

enum tunnel_end_answer tunnel_end_answer(uint8_t *frame, size_t len, const struct rte_ether_addr *own);
