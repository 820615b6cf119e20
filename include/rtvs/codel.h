// CoDel, controlled delay (RFC 8289), of one queue: which packets are dropped so that their senders
// slow down. The queue may be long for a moment. When every packet of an interval has waited longer
// than the target, packets are dropped. One is dropped first, then more and more often until the
// wait is below the target again.
//
// Integers only; any one thread; times are ns on one monotonic clock.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CODEL_TARGET_NS UINT64_C(5000000) // RFC 8289, section 4.3
#define CODEL_INTERVAL_NS UINT64_C(100000000) // RFC 8289, section 4.2
#define CODEL_TARGET_MAX_NS UINT64_C(4000000000) // the square of an interval fits 64 bits

struct codel {
	// The time at which every packet of an interval will have waited too long, 0: the last one
	// has not.
	uint64_t first_above_ns;
	uint64_t drop_next_ns;
	uint32_t count, last_count; // drops since this state, or the one before, was entered
	bool is_dropping;
};

// The target on a link of `rate` bytes/s (0: CODEL_TARGET_NS) with full frames of frame_bytes: no
// less than the time of two of them.
uint64_t codel_target_ns(uint64_t rate, uint32_t frame_bytes);
// For each packet as it leaves the queue, in order: it came waited_ns ago. is_last: the queue is
// empty without it. target_ns: from codel_target_ns, CODEL_TARGET_MAX_NS at most. True: drop the
// packet.
bool codel_drops(struct codel *c, uint64_t waited_ns, bool is_last, uint64_t target_ns, uint64_t now_ns);
