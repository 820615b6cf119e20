// Whether a node lives. Internal to src/vni.
#pragma once

#include "own.h"

// What says that a node is dead: nobody holds the lock of its number; or, for a node that no lock tells of, a heart that stands still.
// The tending thread; the node's entry can be read as it is.
bool watch_is_dead(struct segment *seg, unsigned number, segment_lock_fn has_lock, void *ctx, uint64_t now_ns);
