// Messages of a peer's session.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/peer_msg.h"

#include <stdbool.h>

struct ctl;
struct peer;

// Stamps and sends msg. False: the peer is not known, or too many were sent.
bool peer_sessions_send(struct ctl *ctl, struct peer *peer, struct peer_msg *msg);
// Sends a hello if one is due.
void peer_sessions_greet(struct ctl *ctl, struct peer *peer);
// False: the peer did not write it, which is counted.
bool peer_sessions_decode(struct peer *peer, const struct dp_datagram *datagram, struct peer_msg *ret_msg);
