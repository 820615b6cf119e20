// How a packet leaves.
#pragma once

#include "shape.h"
#include "view.h"
#include "worker.h"

// Gives m (owned from here on) to port `out`: VLAN, MTU, offloads, then the stage or the owner's ring.
void egress_put(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt pkt);
// Transmits what is staged.
void egress_flush(struct worker *w, const struct view *view);
// Takes what other workers put into the rings of ports that this one owns; how many.
unsigned egress_drain(struct worker *w, const struct view *view);
