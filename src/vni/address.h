// The node that an address leads to. Each node writes its own addresses into its entry. Each sender
// makes a private table of them all, so that no lock is needed and no node can spoil another's
// table. Internal to src/vni.
#pragma once

#include "own.h"

void address_begin(struct segment *seg); // the node has joined
uint8_t address_read(const struct layout_node *node, struct mac ret_macs[SEGMENT_MAX_MACS]);
void address_write(struct segment *seg, const struct mac *macs, unsigned n); // this node's
void address_moved(struct segment *seg); // a node's addresses have
// Receiving thread: a frame with that sender's address came from that node, which is a bridge.
void address_learn(struct segment *seg, const uint8_t mac[6], unsigned from);
void address_age(struct segment *seg, uint64_t now_ns); // tending thread
