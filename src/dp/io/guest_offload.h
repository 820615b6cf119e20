// What a driver asks for with a frame, and what it is asked for with one: virtio's header.
#pragma once

#include "base/pkt.h"
#include "rtvs/guest_ring.h"

#include <rte_branch_prediction.h>

void guest_offload_read(struct rte_mbuf *m, const struct guest_hdr *hdr);
struct guest_hdr guest_offload_write(const struct rte_mbuf *m);

// m gets the request that came with it, if any; gso_take compares it with the frame.
static inline void
guest_offload_note(struct rte_mbuf *m, const struct guest_hdr *hdr)
{
	if (unlikely(hdr->flags | hdr->gso_type))
		guest_offload_read(m, hdr);
}

// The header that the receiver sees, made of what was checked. *room is for one that is not all
// zeroes.
static inline const struct guest_hdr *
guest_offload_hdr(const struct rte_mbuf *m, struct guest_hdr *room)
{
	static const struct guest_hdr none;

	if (likely(!pkt_asks(m)))
		return &none;
	*room = guest_offload_write(m);
	return room;
}
