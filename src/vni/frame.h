// Internal to src/vni.
#pragma once

#include "own.h"

#define FRAME_MIN 14 // an Ethernet header

static inline uint16_t
frame_n_slots(const struct segment *seg, uint32_t len)
{
	return (uint16_t)((len + seg->g.slot_bytes - 1) >> seg->slot_shift);
}

static inline bool
frame_has_offload(const struct segment_offload *o)
{
	return o->flags || o->gso_type;
}
