// Rings beside what librte_vhost does with them: packed ones after a crash of ours, and how far guests are.
#pragma once

#include "rtvs/chain.h"

#include <stdbool.h>
#include <stdint.h>

// Event thread, a queue being enabled: the front-end knows no position of a packed ring after a crash, and tells a stale one;
// the ring itself knows. True: the queue goes on elsewhere than the front-end said. Rings it cannot judge stay as they are.
bool vhost_ring_recover(int vid, uint16_t queue, const char *port);

// Worker: whether the guest offers as much of its receive queue as librte_vhost ever uses for one packet: one buffer, or, where
// they are mergeable, all. False also when the ring cannot be read.
bool vhost_ring_offers(int vid, uint16_t queue, uint64_t features);

// Worker: how far the guest is with a queue. False: it does not tell (no VIRTIO_RING_F_EVENT_IDX), or the memory is gone. Where the
// ring is may change while it is used (memory is plugged in): it is asked for each time.
bool vhost_ring_look(int vid, uint16_t queue, uint64_t features, struct chain_ring *ret_ring);
