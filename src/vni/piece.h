// The content of a frame's slots: its bytes in pieces, one a slot, and its offload in the first
// slot's header. Internal to src/vni.
#pragma once

#include "own.h"

void piece_write_offload(struct layout_slot *slot, const struct segment_offload *offload);
struct segment_offload piece_read_offload(const struct layout_slot *slot);
