// What one entry of an inbox hands over: up to SEGMENT_MAX_CHAIN slots, of one frame or of several that go to one node. The first slot lists the
// others. Internal to src/vni.
#pragma once

#include "own.h"

struct parcel {
	unsigned n;
	uint32_t slot[SEGMENT_MAX_CHAIN];
	uint64_t word[SEGMENT_MAX_CHAIN]; // as seen
};

// Its slots, as the entry (ref, n) and the first slot say; fewer when a slot is not its sender's any more, none when the entry is stale.
// False: what they say cannot be true; the first slot may be there nevertheless.
bool parcel_read(const struct segment *seg, uint64_t ref, unsigned n, struct parcel *ret_parcel);
