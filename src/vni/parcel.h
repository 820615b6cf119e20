// The content of one entry of an inbox: up to SEGMENT_MAX_CHAIN slots, of one frame or of several
// that go to one node. The first slot lists them all, and the small frames that share a slot.
// Internal to src/vni.
#pragma once

#include "own.h"

// Its slots, by the entry (ref, n) and the first slot; fewer when a slot is not its sender's any
// more, none when the entry is stale.
// False: the list is impossible; the first slot may exist nevertheless.
bool parcel_read(const struct segment *seg, uint64_t ref, unsigned n, struct own_parcel *ret_parcel);

static inline _Atomic uint64_t *
parcel_item(const struct segment *seg, uint32_t first, unsigned i)
{
	return i ? &own_slot(seg, first)->other[i - 1] : &own_slot(seg, first)->first;
}
