// Rings beside what librte_vhost does with them: packed ones after a crash of ours, and how far guests are.
#pragma once

#include "rtvs/chain.h"

#include <stdbool.h>
#include <stdint.h>

// Event thread, a queue being enabled: the front-end knows no position of a packed ring after a crash, and tells a stale one;
// the ring itself knows. True: the queue goes on elsewhere than the front-end said. Rings it cannot judge stay as they are.
bool vhost_ring_recover(int vid, uint16_t queue, const char *port);

// Where the guest writes which kicks of a queue it wants, NULL: it says none (no VIRTIO_RING_F_EVENT_IDX). Any thread.
const void *vhost_ring_wanted(int vid, uint16_t queue, uint64_t features);
// Worker: reads that. False: it cannot be told, or the memory is gone.
bool vhost_ring_look(int vid, uint16_t queue, const void *wanted_at, uint64_t features, struct chain_ring *ret_ring);
