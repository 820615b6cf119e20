// Other hosts' daemons: who they are, what time it is there, and what they say of the packets that our ports send them.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <jansson.h>

struct ctl;
struct model_port;
struct peer;

struct peers {
	struct peer *list; // one for each uplink and remote address of tunnels with a key_file
	uint64_t n_strangers; // datagrams of hosts that are none
};

// Whether the file holds one or two keys. 0, or -EINVAL with err naming the field and what is accepted.
int peers_check_keys(const char *path, char err[DP_ERR_SIZE]);
// After a change of ports: peers of tunnels that came, and no longer of those that went. Only their key files are read.
// True: there are tunnels, with keys or without.
bool peers_sync(struct ctl *ctl);
void peers_reload(struct ctl *ctl); // all key files
void peers_fini(struct ctl *ctl);
// A datagram to PEER_MSG_PORT.
void peers_receive(struct ctl *ctl, const struct dp_datagram *datagram);
// What the datapath has to tell senders.
void peers_tell(struct ctl *ctl);
// From time to time: greets peers, tells the datapath of the ways to them, polls the controllers of
// their flows.
void peers_turn(struct ctl *ctl);
// From time to time: asks peers what time it is there.
void peers_ask_clocks(struct ctl *ctl);
// The DSCP of a port's packets as they are now, DSCP_KEEP: their own.
uint8_t peers_dscp(const struct ctl *ctl, const struct model_port *port);
// The clock of a host less ours. False: not known.
bool peers_clock(const struct ctl *ctl, unsigned uplink, const struct prefix *addr, int64_t *ret_offset_ns);
json_t *peers_json(const struct ctl *ctl); // new reference
