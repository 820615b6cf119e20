// Operations on rings beside librte_vhost's: recovery of packed ones after a crash of the daemon,
// and the guests' progress.
#pragma once

#include "rtvs/chain.h"

#include <stdbool.h>
#include <stdint.h>

// Event thread, a queue being enabled: the front-end knows no position of a packed ring after a
// crash, and reports a stale one; the ring itself knows. True: the queue continues elsewhere than
// the front-end said. Rings that it cannot judge stay unchanged.
bool vhost_ring_recover(int vid, uint16_t queue, const char *port);

// Worker: whether the guest offers as much of its receive queue as librte_vhost ever uses for one
// packet: one buffer, or, where they are mergeable, all. False also when the ring cannot be read.
bool vhost_ring_offers(int vid, uint16_t queue, uint64_t features);

// Worker: the guest's progress in a queue. False: unknown (no VIRTIO_RING_F_EVENT_IDX), or the
// memory is gone. The ring's address may change while it is used (memory is plugged in): it is
// looked up each time.
bool vhost_ring_look(int vid, uint16_t queue, uint64_t features, struct chain_ring *ret_ring);
