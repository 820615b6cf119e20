// Where a frame goes.
#pragma once

#include "egress.h"
#include "rtvs/guest_ring.h"
#include "view.h"
#include "worker.h"

struct rules_ahead;

// What is found out about a packet of a burst, and holds for the next one if it has the same
// source and destination.
struct switch_burst {
	struct worker *w;
	const struct view *view;
	const struct view_port *in;
	uint16_t in_id;
	// The last packet's source and destination, MAC << 16 | VLAN; SWITCH_NO_KEY: none yet.
	uint64_t src_key, dst_key;
	uint16_t dst_port;
	struct egress_way way; // to it, for packets that nobody copies
};

#define SWITCH_NO_KEY UINT64_MAX // no VLAN has 16 bits

static inline struct switch_burst
switch_begin(struct worker *w, const struct view *view, uint16_t in)
{
	return (struct switch_burst){.w = w,
		.view = view,
		.in = view_port(view, in),
		.in_id = in,
		.src_key = SWITCH_NO_KEY,
		.dst_key = SWITCH_NO_KEY};
}

// Frames of a port in view_port.passes: how many of them, from the front, go to b->dst_port and
// leave as they came, by b->way. If the port has rules: what was seen of each frame, and the rule
// for it.
uint16_t switch_passes(struct switch_burst *b, const struct guest_frame *frame, uint16_t n,
	const struct rules_ahead *ahead, struct rule **ret_rule);

// Forwards a burst that came from port `in`; what it does not deliver it drops, with a reason.
void switch_burst(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n);
