// Slots of a coherent segment: taking free ones, and freeing one's own. Internal to src/vni.
#pragma once

#include "own.h"

void slot_begin(struct segment *seg); // the node has joined: nothing is at hand
// A free slot for a frame to that node, which does not matter to a common pool. Sending thread.
bool slot_take(struct segment *seg, unsigned to, uint32_t *ret_slot);
// The sending thread gives back what it took and did not use.
void slot_untake(struct segment *seg, uint32_t slot);
// Any thread of this node: the slot is its own, else nothing happens.
void slot_free(struct segment *seg, uint32_t slot);
// The slot whose word was seen as it is, is free from here on. False: somebody was faster.
bool slot_free_seen(struct segment *seg, uint32_t slot, uint64_t word);
// The slot is this node's from here on, as above.
bool slot_claim_seen(struct segment *seg, uint32_t slot, uint64_t word);
