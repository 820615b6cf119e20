// Geneve tunnels and what a worker knows of them. A tunnel is a port (port_geneve.c) whose frames
// leave and come through an uplink: a port without a bridge that has an address on the underlay.
#pragma once

#include "io/port.h"
#include "rtvs/flow_delay.h"
#include "rtvs/geneve.h"
#include "rtvs/shared_clock.h"

#include <rte_mbuf.h>

#define TUNNEL_TABLE_SIZE (2 * DP_MAX_PORTS)

// Measurement of one tunnel's arrivals; lives as long as its port.
struct overlay_flow {
	struct flow_delay account; // dp
	struct flow_delay_stats snap; // as of the last snapshot. dp: wo, ctl: ro
	struct hist delay, network;
};

struct overlay_delays {
	struct shared_clock clock; // the other host's - ours. ctl: wo, dp: ro
	_Atomic uint64_t interval_ns; // between reports of one flow; 0: the default. ctl: wo, dp: ro
	_Atomic(struct overlay_flow *) flow[DP_MAX_PORTS]; // NULL: not measured. ctl: wo, dp: ro
	_Atomic bool is_wanted[DP_MAX_PORTS]; // dp: wo, ctl: ro
};

// One tunnel, as of one view.
struct view_tunnel {
	uint16_t uplink; // VIEW_NO_PORT: it has none
	bool is_resolved; // the next hop's MAC is known
	struct prefix remote;
	uint32_t vni;
	uint32_t frame_max; // bytes with tags that its way takes
	struct geneve_template headers;
	struct geneve_ignore ignore;
	struct overlay_delays *delays;
	uint64_t *seq; // of the next packet of each flow; the worker that owns the uplink, and the next
	uint32_t *queued; // packets of each flow in the uplink's schedule
};

// An uplink, as of one view: its tunnels by remote address and VNI, open addressing, VIEW_NO_PORT: free.
struct view_uplink {
	struct prefix address;
	uint16_t tunnel[TUNNEL_TABLE_SIZE];
};
