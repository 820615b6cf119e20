// The state that deleted ports leave to the next port at the same far end: the same socket, device,
// segment, or tunnel. The guest or other host at the far end was not removed and continues. Control
// thread.
#pragma once

#include "port.h"

#define KEPT_MAX DP_MAX_PORTS // of which the oldest goes first

struct kept; // one port's

// save: of a port that no worker uses any more, before it is closed. Without memory nothing is
// kept.
void kept_save(struct dp *dp, const struct port *port);
// Of a port that was opened and has not started.
void kept_restore(struct dp *dp, struct port *port);
void kept_forget_all(struct dp *dp);
