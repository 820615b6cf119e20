// Packed rings after a crash of ours.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Event thread, a queue being enabled: the front-end knows no position of a packed ring after a crash, and tells a stale one;
// the ring itself knows. True: the queue goes on elsewhere than the front-end said. Rings it cannot judge stay as they are.
bool vhost_ring_recover(int vid, uint16_t queue, const char *port);
