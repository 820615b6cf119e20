// Packets from an uplink: frames of tunnels, packets for the daemon, and others.
#pragma once

#include "rtvs/flow_delay.h"
#include "rtvs/guest_ring.h"
#include "rtvs/shared_clock.h"
#include "view.h"
#include "worker.h"

// Measurement of one flow's arrivals through a tunnel; lives as long as the tunnel's port.
struct decap_flow {
	struct flow_delay account; // dp
	struct flow_delay_stats snap; // as of the last snapshot. dp: wo, ctl: ro
	struct hist delay, network;
};

struct decap_delays {
	struct shared_clock clock; // the other host's - ours. ctl: wo, dp: ro
	// between reports of one flow; 0: the default. ctl: wo, dp: ro
	_Atomic uint64_t interval_ns;
	_Atomic uint32_t n_listed; // ctl: wo, dp: ro
	// Which flows are measured, in the order of their first packets; as n_listed.
	uint16_t listed[DP_MAX_DELAYS];
	_Atomic(struct decap_flow *) flow[DP_MAX_PORTS]; // NULL: not measured. ctl: wo, dp: ro
	// A bit for each flow that has arrived. dp: rw, ctl: ro
	_Atomic uint64_t wanted[DP_MAX_PORTS / 64];
};

// Frames of one tunnel, side by side.
struct decap_run {
	uint16_t tunnel; // its port's number
	uint16_t first, n;
};

// Takes n packets of a burst that came from the uplink `in`. The frames of tunnels remain at the
// front of pkts, as described by runs. Packets for the daemon go there; the rest is dropped and
// counted. Returns how many runs there are.
uint16_t decap(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n,
	struct decap_run runs[PORT_BURST]);
// Takes the headers off frames that came from the uplink `in` and are no packets, n at most. How
// many from the front are of one tunnel, *ret_tunnel, and how many bytes they had. 0: the first is
// for decap.
uint16_t decap_frames(struct worker *w, const struct view *view, uint16_t in, struct guest_frame *frame, uint16_t n,
	uint16_t *ret_tunnel, uint64_t *ret_bytes);
// Counters, for the control thread to read.
void decap_snapshot(struct worker *w, const struct view *view);
