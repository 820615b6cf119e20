// How many MACs a second move between the ports of a bridge, and whether to report that. A few move
// when guests migrate, thousands when there is a loop, or two guests with one MAC. Pure; the caller
// counts moves and calls now and then.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MAC_MOVES_QUIET_NS UINT64_C(60000000000) // between two that are told

struct mac_moves { // zeroed
	uint64_t n, seen_ns; // at the last look; 0: there was none
	uint64_t told_ns; // 0: never
};

// n: moves ever. limit: a second, 0: none. True: *ret_per_s of them since the last look exceed the
// limit, and the last report is not recent.
// Bound: 2^34 moves between two looks.
bool mac_moves_are_many(struct mac_moves *m, uint64_t n, uint32_t limit, uint64_t *ret_per_s, uint64_t now_ns);
