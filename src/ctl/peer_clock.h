// Clocks of peers.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/peer_msg.h"

#include <stdbool.h>
#include <stdint.h>

struct ctl;
struct peer;

// Tells the datapath the distance of the peer's clock from ours, and how often its packets are
// reported on.
void peer_clock_tell(struct ctl *ctl, const struct peer *peer);
// Sends a request if one is due.
void peer_clock_ask(struct ctl *ctl, struct peer *peer, uint64_t now_ns);
void peer_clock_answer(struct ctl *ctl, struct peer *peer, const struct peer_msg *request, uint64_t received_ns);
void peer_clock_take(struct ctl *ctl, struct peer *peer, const struct peer_msg *reply, uint64_t received_ns);
// The clock of a host less ours. False: not known.
bool peer_clock_offset(const struct ctl *ctl, unsigned uplink, const struct prefix *addr, int64_t *ret_offset_ns);
