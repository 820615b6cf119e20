// Internal to src/vni.
#pragma once

#include "own.h"

void node_write_identity(struct layout_node *node, const struct segment_identity *identity); // without its addresses
uint64_t node_state(const struct segment *seg, unsigned number); // its entry can be read after that
