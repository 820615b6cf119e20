// Packets that came from an uplink for the daemon.
#pragma once

#include "view.h"
#include "worker.h"

// Any worker: m came from uplink `in` and is no tunnel's. Takes m: it goes to the control thread,
// in a limited rate, or is dropped.
void punt(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf *m);
