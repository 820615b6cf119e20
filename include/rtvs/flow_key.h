// What rules of a flow table match on, read from a frame. Pure; reads only [data, data + n_head).
#pragma once

#include "rtvs/flow_table.h"

#define FLOW_KEY_VLAN_PRESENT 0x1000 // in the key's `vlan`: there is a tag

// Of a frame of len bytes, whose first n_head ones are at data. Never fails: fields of headers that
// are not there, or lie about themselves, are 0. Behind a second tag nothing is read. in: as it is
// wanted in the key.
void flow_key_read(const uint8_t *data, size_t n_head, size_t len, uint16_t in, struct flow_key *ret_key);
