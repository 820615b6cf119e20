// Slots of a coherent segment: taking free ones, and freeing one's own. Internal to src/vni.
#pragma once

#include "own.h"

void slot_begin(struct segment *seg); // the node has joined: nothing is at hand
// A free slot for a frame to that node, which does not matter to a common pool. Sending thread.
bool slot_take(struct segment *seg, unsigned to, uint32_t *ret_slot);
// The sending thread gives back what it took and did not use.
void slot_untake(struct segment *seg, uint32_t slot);
bool slot_is_taken(const struct segment *seg, uint64_t word); // by this node, to send
// What this node took or received becomes free; nothing happens when others have taken it back. Each thread frees what it has itself: the
// same slot may have gone round and come in for the other one.
void slot_free(struct segment *seg, uint32_t slot); // sending thread
void slot_free_received(struct segment *seg, uint32_t slot); // receiving thread
// The slot whose word was seen as it is, is free from here on. False: somebody was faster.
bool slot_free_seen(struct segment *seg, uint32_t slot, uint64_t word);
// The slot has been received by this node, as above.
bool slot_claim_seen(struct segment *seg, uint32_t slot, uint64_t word);
