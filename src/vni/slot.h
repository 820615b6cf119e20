// Slots of a coherent segment: taking free ones, and freeing one's own. Internal to src/vni.
#pragma once

#include "own.h"

void slot_begin(struct segment *seg); // the node has joined: nothing is at hand
// A free slot for a frame to that node, which does not matter to a common pool: number | generation
// << 32. Sending thread.
bool slot_take(struct segment *seg, unsigned to, uint64_t *ret_slot);
// The sending thread gives back what it took and did not use.
void slot_untake(struct segment *seg, uint64_t slot);
// Any thread of this node: the slot is free, if it is still this node's in that generation.
void slot_free(struct segment *seg, uint64_t slot);
// The slot whose word was seen as it is, is free from here on. False: another node was faster.
bool slot_free_seen(struct segment *seg, uint32_t slot, uint64_t word);
// The slot is this node's from here on, in the next generation; likewise.
bool slot_claim_seen(struct segment *seg, uint32_t slot, uint64_t word);
