// Whether a node lives. Internal to src/vni.
#pragma once

#include "own.h"

// A node is dead when no process holds the lock of its number. A node without a known lock is dead
// when its heart stands still. The tending thread; the node's entry can be read as it is.
bool watch_is_dead(struct segment *seg, unsigned number, segment_lock_fn has_lock, void *ctx, uint64_t now_ns);
