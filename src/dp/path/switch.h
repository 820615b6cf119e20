// Where a frame goes.
#pragma once

#include "view.h"
#include "worker.h"

// Forwards a burst that came from port `in`; what it does not deliver it drops, with a reason.
void switch_burst(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n);
