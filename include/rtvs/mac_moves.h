// How many MACs a second move between the ports of a bridge, and whether that is worth telling: a few do when guests migrate, thousands
// when there is a loop, or two guests with one MAC. Pure; the caller counts moves and looks once in a while.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MAC_MOVES_QUIET_NS UINT64_C(60000000000) // between two that are told

struct mac_moves { // zeroed
	uint64_t n, seen_ns; // at the last look; 0: there was none
	uint64_t told_ns; // 0: never
};

// n: moves ever. limit: a second, 0: none. True: *ret_per_s of them since the last look are more, and it was not told just now.
// Bound: 2^34 moves between two looks.
bool mac_moves_are_many(struct mac_moves *m, uint64_t n, uint32_t limit, uint64_t *ret_per_s, uint64_t now_ns);
