// Packed rings after a crash of the daemon.
#pragma once

#include "rtvs/guest_ring.h"

// The front-end knows no position of a packed ring after a crash, and says a stale one; the ring
// itself knows (rtvs/vring.h). True: it goes on elsewhere than cfg->pos said, which is changed.
// Rings that it cannot judge stay unchanged.
bool guest_recover(struct guest_ring_cfg *cfg);
