// How a packet leaves.
#pragma once

#include "base/pkt.h"
#include "parts.h"
#include "rtvs/frame.h"
#include "shape.h"
#include "view.h"
#include "worker.h"

// How packets without a tag leave a port: found once for a burst. A packet passes if it leaves as
// it came, which is the rule.
struct egress_way {
	struct worker_tx *tx; // of the port; NULL: no packet passes
	uint32_t frame_max; // bytes
	bool is_timed; // packets carry their time of arrival
	bool takes_borrowed;
	// A guest's, that takes frames that are no packets; NULL: none does.
	struct device *device;
	const struct worker_tx *staged; // of the device's port
	const struct view_tunnel *tunnel; // whose headers frames get first; NULL: none
};

// Of packets that came without a tag and are in the VLAN.
struct egress_way egress_way(struct worker *w, const struct view *view, uint16_t out, uint16_t vlan);

// True: the packet, which came without a tag, is staged. False: it is egress_put's.
static inline bool
egress_pass(struct worker *w, const struct egress_way *way, struct rte_mbuf *m)
{
	struct worker_tx *tx = way->tx;

	// A stage that is empty, or full, has more to be done for it.
	if (!tx || !tx->n || tx->n == RTE_DIM(tx->pkts) || pkt_asks(m) ||
		(m->nb_segs > 1 && !(way->takes_borrowed && pkt_is_borrowed(m))) || m->pkt_len > way->frame_max ||
		m->pkt_len < FRAME_WIRE_MIN)
		return false;
	if (way->is_timed)
		pkt_item(m)->arrival_ns = w->now_ns;
	tx->pkts[tx->n++] = m;
	return true;
}

// A further packet with the same bytes, counted on a port. Shares them: egress_put copies before it
// changes anything. NULL: there is no buffer.
struct rte_mbuf *egress_replicate(struct worker *w, uint16_t counted_on, struct rte_mbuf *m);
// A copy to the mirror of a port, if it has one for that direction.
void egress_mirror(struct worker *w, const struct view *view, const struct view_port *of, uint8_t dir,
	const struct egress_pkt *pkt);
// Takes m for port `out`: VLAN, MTU, offloads, then the stage or the owner's ring.
void egress_put(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt pkt);
// Transmits what is staged.
void egress_flush(struct worker *w, const struct view *view);
// Takes what others put into the mailboxes of ports that this worker owns; how many packets.
unsigned egress_drain(struct worker *w, const struct view *view);
// After a new view: what was put for a port before this worker knew of the port is looked for.
void egress_apply(struct worker *w, const struct view *view);
