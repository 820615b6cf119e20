// What one entry of an inbox hands over: up to SEGMENT_MAX_CHAIN slots, of one frame or of several that go to one node. The first slot lists them
// all, and the small frames that share a slot. Internal to src/vni.
#pragma once

#include "own.h"

// Its slots, as the entry (ref, n) and the first slot say; fewer when a slot is not its sender's any more, none when the entry is stale.
// False: what they say cannot be true; the first slot may be there nevertheless.
bool parcel_read(const struct segment *seg, uint64_t ref, unsigned n, struct own_parcel *ret_parcel);

static inline _Atomic uint64_t *
parcel_item(const struct segment *seg, uint32_t first, unsigned i)
{
	return i ? &own_slot(seg, first)->other[i - 1] : &own_slot(seg, first)->first;
}
