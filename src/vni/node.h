// A node's entry in the table. Internal to src/vni.
#pragma once

#include "own.h"

// without its addresses
void node_write_identity(struct layout_node *node, const struct segment_identity *identity);
// The node's state; its present entry can be read after that. Any thread. In memory that hosts do
// not see alike, SEGMENT_REAPING means that this node takes that one for dead.
uint64_t node_state(const struct segment *seg, unsigned number);

// Memory that hosts do not see alike only.
// after a fence, the entry is read from memory
void node_drop(const struct segment *seg, unsigned number);
// as node_state, after node_drop and a fence
uint64_t node_seen(const struct segment *seg, unsigned number);
void node_write_back(const struct segment *seg); // after a fence, this node's entry is in memory
// this node's addresses have moved; others see that after a fence
void node_moved(struct segment *seg);
