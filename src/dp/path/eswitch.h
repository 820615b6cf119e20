// What the ports of an eswitch in switchdev mode receive (rtvs/dp_eswitch.h). A packet passes each
// eswitch at most once, so no rules make a circle.
#pragma once

#include "view.h"
#include "worker.h"

// Of a burst from a port of an eswitch: takes all of a VF's, and the PF's that are in VLANs of
// representors. How many are left, at the front, for the PF's bridge.
uint16_t eswitch_take(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n);
// What bridges have staged for uplinks, after each burst. The packets have the tags of the port.
void eswitch_serve(struct worker *w, const struct view *view);
