// Offloads in software, over mbufs.
#pragma once

#include "rtvs/drop.h"

#include <rte_mbuf.h>

// Segments of a TCP super-frame, each in one buffer. Returns how many, 0: not possible (headers),
// -1: no buffer.
int gso_segment(struct rte_mempool *pool, const struct rte_mbuf *m, struct rte_mbuf **out, unsigned max);
struct frame_l2;
// A guest asks for a checksum, or segments; see port_vhost.c.
#define GSO_ASKED (RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_MASK)
// The guest's request, in librte_vhost's flags (RX), becomes a request to the receiver (TX), or is
// executed. The caller alone owns m. DROP_OFFLOAD: it is impossible.
enum drop gso_take(struct rte_mbuf *m, const struct frame_l2 *l2);
// Fragments of an IPv4 packet that fragment_plan planned, each in one buffer. False: no buffer, or
// they do not fit one.
struct fragment_plan;
bool gso_fragment(
	struct rte_mempool *pool, const struct rte_mbuf *m, const struct fragment_plan *plan, struct rte_mbuf **out);
// Completes the checksum that m's offload flags ask for. False: headers do not allow it.
bool gso_finish_checksum(struct rte_mbuf *m);
