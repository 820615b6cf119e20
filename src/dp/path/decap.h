// What came from an uplink: frames of tunnels, packets for the daemon, and others.
#pragma once

#include "view.h"
#include "worker.h"

// Frames of one tunnel, side by side.
struct decap_run {
	uint16_t tunnel; // its port's number
	uint16_t first, n;
};

// Takes n packets of a burst that came from the uplink `in`. What is left at the front of pkts are frames of tunnels, as runs say; what
// is for the daemon went there, the rest is dropped and counted. Returns how many runs there are.
uint16_t decap(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n,
	struct decap_run runs[PORT_BURST]);
// Counters, for the control thread to read.
void decap_snapshot(struct worker *w, const struct view *view);
