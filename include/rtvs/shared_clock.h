// The distance of another clock from ours, written by one thread and read by any number of threads,
// which never wait for the writer. There are two copies, and the writer fills the one that readers
// are not directed to.
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
