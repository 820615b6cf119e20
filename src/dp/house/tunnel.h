// A tunnel port's own state: numbers and delays of its flows, and the MTU of its path. Control
// thread, unless stated otherwise.
#pragma once

#include "path/decap.h"
#include "port.h"
#include "rtvs/path_mtu.h"

struct tunnel { // in sparse memory
	uint64_t seq[DP_MAX_PORTS];
	uint32_t queued[DP_MAX_PORTS];
	struct decap_delays delays;
	struct path_mtu path; // outside; ctl
	bool is_started; // ctl
};

struct decap_delays *tunnel_delays(const struct port *port);
// The uplink's owner writes both: number of the next packet of each flow; packets of each flow in
// the uplink's schedule.
uint64_t *tunnel_seq(const struct port *port);
uint32_t *tunnel_queued(const struct port *port);
// The largest IP packet of the tunnel: its MTU, or the network's present limit. hear: a router
// reported that mtu outside; expire: its report may be old. True: the tunnel's limit has changed.
uint32_t tunnel_mtu(const struct port *port);
// Bytes of a frame, tags included, that fit the uplink and the network behind it.
uint32_t tunnel_frame_max(const struct port *port, uint32_t uplink_mtu);
bool tunnel_hear_mtu(struct port *port, uint32_t mtu, uint64_t now_ns);
bool tunnel_expire_mtu(struct port *port, uint64_t now_ns);

// Arrivals of a flow are measured from now on; or they are already. NULL: no further flow can be.
struct decap_flow *tunnel_measure(struct dp *dp, const struct port *port, uint16_t flow);
void tunnel_housekeeping(struct dp *dp); // accounts for flows that have arrived and have none
// of a port that no worker uses any more
void tunnel_forget(struct dp *dp, struct decap_delays *delays);
