// Whether a sender is held back because its queue at one egress port is full. Its ring is then not
// read, so its guest waits as behind a busy NIC instead of losing packets. A hold begins when the
// queue is half full. It ends when the queue has fallen to a quarter, or after HOLD_MAX_NS, or when
// the device has been stuck for HOLD_STUCK_NS. The device is slow when it was stuck, or less than a
// quarter of the queue's limit left in those HOLD_MAX_NS. The sender of a slow device is not held
// and loses packets at its limit. That ends when a quarter of the limit has left within
// HOLD_MAX_NS, or the queue has fallen to a quarter. So a device that always sends a quarter in
// that time loses nothing, if the sender is read by a quarter at once at most.
//
// The caller decides who may be held, and by which ports. Any one thread; times are ns on one
// monotonic clock, never 0. Amounts are in the unit of the limit, packets or buffers.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// A sender's traffic to other ports waits as long. A link of 32 Mbit/s sends a quarter of a queue
// of 1,024 full frames in that time.
#define HOLD_MAX_NS UINT64_C(100000000)
// A device that is merely busy takes packets again after some hundred us.
#define HOLD_STUCK_NS UINT64_C(5000000)

struct hold {
	uint64_t since_ns; // 0: not held
	uint64_t slow_since_ns; // the device is slow, and n_left counts from then on; 0: it is not
	uint32_t n_left; // in the hold
};

// A packet came: n_queued of at most `limit` wait. stuck_ns: how long the device has refused
// packets. True: hold the sender until since_ns + HOLD_MAX_NS, as begun now or before.
bool hold_queued(struct hold *h, uint32_t n_queued, uint32_t limit, uint64_t stuck_ns, uint64_t now_ns);
// A packet, of n_left, left; n_queued wait. True: the hold ends.
bool hold_left(struct hold *h, uint32_t n_left, uint32_t n_queued, uint32_t limit, uint64_t now_ns);
// The hold ends early, if there is one: the device is slow. True: there was.
bool hold_end(struct hold *h, uint64_t now_ns);
