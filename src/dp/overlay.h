// Geneve tunnels in the datapath (overlay.c) and what a worker knows of them. A tunnel is a port (port_geneve.c) whose frames
// leave and come through an uplink: a port without a bridge that has an address on the underlay.
#pragma once

#include "port.h"
#include "rtvs/flow_delay.h"
#include "rtvs/geneve.h"
#include "rtvs/shared_clock.h"

#include <rte_mbuf.h>

struct worker;
struct view;

#define OVERLAY_HASH_SIZE (2 * DP_MAX_PORTS)

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
	uint16_t tunnel[OVERLAY_HASH_SIZE];
};

// Control thread, while a view is built.
void overlay_index(struct view *view, uint16_t tunnel, const struct port *port);

// The ingress worker. m, which the tunnel port `out` is to send, with the headers before it, for the uplink. NULL: dropped
// and counted.
struct rte_mbuf *overlay_encap(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m);
// A frame that does not fit the tunnel port `out`: tells its sender the mtu that would (path MTU discovery), a limited number of times
// a second. The frame stays the caller's.
struct egress_pkt;
void overlay_too_big(
	struct worker *w, const struct view *view, uint16_t out, const struct egress_pkt *pkt, uint32_t mtu);
// The worker that owns the uplink, right before and after it gives packets to the device: writes sequence, time and residence;
// takes back the numbers of those that are not in the set `sent`.
void overlay_stamp(struct worker *w, const struct view *view, struct rte_mbuf **pkts, uint16_t n);
void overlay_unstamp(const struct view *view, struct rte_mbuf **pkts, uint32_t sent, uint16_t n);
// The worker that owns the uplink: m came into its schedule (by: 1) or is out of it (-1).
void overlay_queued(const struct view *view, struct rte_mbuf *m, int by);

// Control thread: accounts for flows that have arrived and have none.
void overlay_housekeeping(struct dp *dp);
// Control thread: of a port that no worker uses any more.
void overlay_forget(struct dp *dp, struct overlay_delays *delays);
// The worker: counters, for the control thread to read.
void overlay_snapshot(struct worker *w, const struct view *view);

// What came from an uplink: frames of tunnels go on as those of the tunnels' ports, what is for the daemon to the control
// thread, the rest is dropped. Owns the packets.
void overlay_receive(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n);
