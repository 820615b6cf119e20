// The frame in its port's form: VLAN tag, DSCP, MTU.
#pragma once

#include "view.h"
#include "worker.h"

struct egress_pkt {
	struct rte_mbuf *m;
	uint16_t vlan;
	bool is_tagged; // with a tag of `vlan`, or a priority tag:
	bool is_priority; // VLAN 0 and a priority (IEEE 802.1Q, 6.9.1: the frame is untagged)
	bool is_raw; // tags stay as they are, whatever VLANs the port has
};

// Else why it may not leave; then pkt->m, if it is still there, is the caller's.
enum drop shape(struct worker *w, const struct view *view, const struct view_port *vp, struct egress_pkt *pkt);
// One more tag, or one less: the frame has one. NULL: there is no buffer, and m is freed.
struct rte_mbuf *shape_push_tag(struct worker *w, struct rte_mbuf *m, uint16_t tci);
struct rte_mbuf *shape_pop_tag(struct worker *w, struct rte_mbuf *m);
// The DSCP for a packet of a port, at ports that write it, or DSCP_KEEP. bytes: its part of the
// raised rate.
uint8_t shape_dscp(struct worker *w, const struct view *view, uint16_t from, uint32_t bytes);
// The port's limit for a packet behind its tags, which end at *ret_l3_offset.
uint32_t shape_mtu(const struct view_port *vp, const struct rte_mbuf *m, uint32_t *ret_l3_offset);
