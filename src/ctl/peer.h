// One other host's daemon. A peer is a host, not a tunnel: tunnels to the same address through the
// same uplink share one. For files of peers only.
#pragma once

#include "peer_keys.h"
#include "rtvs/clock_offset.h"
#include "rtvs/dp.h"
#include "rtvs/feedback.h"
#include "rtvs/peer_session.h"

#include <stdbool.h>
#include <stdint.h>

struct ctl;
struct model_port;

struct peer_counters {
	uint64_t sent, unsent, reports, malformed, unknown_key, forged, steps;
};

struct peer_flow {
	struct peer_flow *next;
	unsigned port; // id
	struct feedback control;
};

struct peer {
	struct peer *next;
	unsigned uplink; // id of the port
	struct prefix addr;
	char key_file[RTVS_PATH_SIZE];
	struct peer_keys keys;
	struct peer_session session;
	struct clock_offset clock;
	uint64_t asked_tai_ns; // t1 of the request that is not answered, 0: none
	uint64_t asked_ns, rtt_ns;
	struct peer_flow *flows; // of our ports whose packets to it were reported, by their ids
	struct peer_counters count;
	bool is_wanted; // in peers_sync
};

// The controller of the port's packets to the peer. NULL: nothing was reported.
struct feedback *peer_control(const struct peer *peer, unsigned port);
// NULL: the host is no peer.
struct peer *peer_find(const struct ctl *ctl, unsigned uplink, const struct prefix *addr);
bool peer_is_tunnel_to(const struct ctl *ctl, const struct peer *peer, const struct model_port *tunnel);
// A tunnel to the peer through which the port's packets go, NULL: none.
const struct model_port *peer_tunnel_for(const struct ctl *ctl, const struct peer *peer, const struct model_port *port);
