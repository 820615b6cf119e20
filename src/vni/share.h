// A frame for several nodes lies in one slot. The slot has, for each of them, whether the frame
// waits for it or is held by it. It is a set instead of a count. Taking a member out twice, by the
// node and by its sweeper, does no harm, and the dead can be distinguished from the living. Four
// words of 16 nodes; each carries the slot's generation, so that a late change fails. Internal to
// src/vni.
//
// A word: generation << 32 | held << 16 | waiting. The sender holds the slot, too, while it
// enqueues the frame.
#pragma once

#include "own.h"

#define SHARE_WORDS 4

void share_begin(struct segment *seg, uint32_t slot, uint64_t word); // held by this node alone
// waits for that node, too
bool share_add(struct segment *seg, uint32_t slot, uint64_t word, unsigned node);
// it waited for this node, which holds it from here on
bool share_hold(struct segment *seg, uint32_t slot, uint64_t word);
// The node is done with it, or will not come; who is last frees the slot.
void share_drop(struct segment *seg, uint32_t slot, uint64_t word, unsigned node);
// Of a slot whose word says that it is shared: takes out dead nodes, and all waiting ones when the
// sender is dead. True: it cleared the last bit, and has freed the slot.
bool share_sweep(struct segment *seg, uint32_t slot, uint64_t word);
