// A node's entry in the table. Internal to src/vni.
#pragma once

#include "own.h"

void node_write_identity(struct layout_node *node, const struct segment_identity *identity); // without its addresses
// The node's state; its entry can be read after that, as it is now. Any thread. In memory that hosts do not see alike,
// SEGMENT_REAPING says that this node takes that one for dead.
uint64_t node_state(const struct segment *seg, unsigned number);

// Memory that hosts do not see alike only.
void node_drop(const struct segment *seg, unsigned number); // after a fence, the entry is read from memory
uint64_t node_seen(const struct segment *seg, unsigned number); // as node_state, after node_drop and a fence
void node_write_back(const struct segment *seg); // after a fence, this node's entry is in memory
void node_moved(struct segment *seg); // this node's addresses have moved; others see that after a fence
