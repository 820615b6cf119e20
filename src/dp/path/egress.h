// How a packet leaves.
#pragma once

#include "shape.h"
#include "view.h"
#include "worker.h"

// Takes m for port `out`: VLAN, MTU, offloads, then the stage or the owner's ring.
void egress_put(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt pkt);
// Transmits what is staged.
void egress_flush(struct worker *w, const struct view *view);
// Takes what others put into the mailboxes of ports that this worker owns; how many packets.
unsigned egress_drain(struct worker *w, const struct view *view);
// After a new view: what was put for a port before this worker knew of the port is looked for.
void egress_apply(struct worker *w, const struct view *view);
