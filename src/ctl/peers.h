// Other hosts' daemons: their identity, their time, and their reports about the packets that our
// ports send them.
#pragma once

#include "rtvs/dp.h"

#include <stdbool.h>
#include <stdint.h>

struct ctl;
struct peer;

struct peers {
	struct peer *list; // one for each uplink and remote address of tunnels with a key_file
	uint64_t n_strangers; // datagrams of hosts that are none
};

// After a change of ports: adds peers of new tunnels, and removes those of deleted ones. Only new
// peers' key files are read.
// True: there are tunnels, with keys or without.
bool peers_sync(struct ctl *ctl);
// All key files, or none when one is wrong: -EINVAL.
int peers_reload(struct ctl *ctl, char err[DP_ERR_SIZE]);
void peers_fini(struct ctl *ctl);
// A datagram to PEER_MSG_PORT.
void peers_receive(struct ctl *ctl, const struct dp_datagram *datagram);
// From time to time: greets peers, tells the datapath of the ways to them, polls the controllers of
// their flows.
void peers_turn(struct ctl *ctl);
// From time to time: asks peers what time it is there.
void peers_ask_clocks(struct ctl *ctl);
