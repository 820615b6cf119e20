// A node's inbox: a ring of words with many writers and one reader. Internal to src/vni.
#pragma once

#include "own.h"

enum inbox_result {
	INBOX_TAKEN,
	INBOX_FULL,
	INBOX_GONE, // the node of that epoch has left
};

// Sending thread: a parcel of n slots, 1 to SEGMENT_MAX_CHAIN; ref: of the first. epoch: in which
// the node was seen to live.
enum inbox_result inbox_push(struct segment *seg, unsigned to, uint16_t epoch, uint64_t ref, unsigned n);
void inbox_settle(struct segment *seg, unsigned to); // after a burst to that node
// Receiving thread: the parcel at the head, as its sender named it, or false: none. Invalid entries
// are passed over, and counted.
bool inbox_peek(struct segment *seg, uint64_t *ret_ref, unsigned *ret_n);
void inbox_pop(struct segment *seg, uint64_t ref, unsigned n); // as it was peeked at
void inbox_mend(struct segment *seg); // after many turns without an entry
// The joining node: the inbox is empty and of its epoch. Entries of former epochs are void from
// here on.
void inbox_renew(struct segment *seg);
// Anyone: the parcel of entry i, when it is for a node that is dead.
bool inbox_look_dead(const struct segment *seg, unsigned node, uint32_t i, uint64_t *ret_ref, unsigned *ret_n);
uint32_t inbox_depth(const struct segment *seg, unsigned node);
