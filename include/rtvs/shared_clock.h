// How far another clock is from ours, written by one thread, read by any number of others, who never wait for it: there are two copies,
// and the writer fills the one that nobody is told to read.
#pragma once

#include <stdint.h>

struct shared_clock {
	uint32_t gen; // the copy to read is number gen % 2
	struct {
		int64_t offset_ns;
		uint64_t uncertainty_ns;
	} copy[2];
};

void shared_clock_set(struct shared_clock *c, int64_t offset_ns, uint64_t uncertainty_ns);
// Both values are of one shared_clock_set. Reads again only when another one ended meanwhile.
void shared_clock_get(const struct shared_clock *c, int64_t *ret_offset_ns, uint64_t *ret_uncertainty_ns);
