// A frame for several nodes lies in one slot, which remembers for each of them whether the frame waits for it or is held by it. A set instead
// of a count: what is taken out twice, by the node and by who clears up behind it, does not matter, and the dead can be told from the living.
// Four words of 16 nodes; each carries the slot's generation, so that a change that comes too late fails. Internal to src/vni.
//
// A word: generation << 32 | held << 16 | waiting. The sender holds the slot, too, while it hands the frame over.
#pragma once

#include "own.h"

#define SHARE_WORDS 4

void share_begin(struct segment *seg, uint32_t slot, uint64_t word); // held by this node alone
bool share_add(struct segment *seg, uint32_t slot, uint64_t word, unsigned node); // waits for that node, too
bool share_hold(
	struct segment *seg, uint32_t slot, uint64_t word); // it waited for this node, which holds it from here on
// The node is done with it, or will not come; who is last frees the slot.
void share_drop(struct segment *seg, uint32_t slot, uint64_t word, unsigned node);
// Of a slot whose word says that it is shared: takes out dead nodes, and those that wait in vain when the sender is dead. True: it was the last to look, and has freed it.
bool share_sweep(struct segment *seg, uint32_t slot, uint64_t word);
