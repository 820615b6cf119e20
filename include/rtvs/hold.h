// Whether a sender is held back because its queue at one egress port is full: its ring is then not read, so its guest waits as
// behind a busy NIC instead of losing packets. A hold begins when the queue is half full. It ends when the queue has fallen to a
// quarter, or after HOLD_MAX_NS, or when the device has been stuck for HOLD_STUCK_NS. After a hold that ended early no other begins
// until the queue has fallen to a quarter: meanwhile the sender loses packets at its limit.
//
// Who may be held, and by whom, the caller decides. Any one thread; times are ns on one monotonic clock, never 0.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// A sender's other correspondents wait as long. A link of 32 Mbit/s sends a quarter of a queue of 1,024 full frames in it.
#define HOLD_MAX_NS UINT64_C(100000000)
// A device that is merely busy takes packets again after some hundred us.
#define HOLD_STUCK_NS UINT64_C(5000000)

struct hold {
	uint64_t since_ns; // 0: not held
	bool is_spent; // no further hold until the queue has fallen to a quarter
};

// A packet came: n_queued of at most `limit` wait. stuck_ns: for how long the device has refused what it is offered. True: the
// sender is to be held until since_ns + HOLD_MAX_NS, as begun now or before.
bool hold_queued(struct hold *h, uint32_t n_queued, uint32_t limit, uint64_t stuck_ns, uint64_t now_ns);
// A packet left. True: the hold ends.
bool hold_left(struct hold *h, uint32_t n_queued, uint32_t limit);
// The hold ends early, if there is one. True: there was.
bool hold_end(struct hold *h);
