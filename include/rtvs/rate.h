// Token bucket in integers: `rate` units a second, at most `burst` units saved. Exact over any time: what a division
// leaves is carried, no drift. A unit is what the caller counts (packets here, bytes elsewhere).
// Bounds: rate 1 to 5e10 (400 Gbit/s in bytes), burst 1 to 2^32; gaps between calls may be of any length,
// time may stand still but not go back (then nothing is refilled).
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint64_t rate, burst; // units/s, units
	uint64_t tokens; // units
	uint64_t remainder; // of rate * dt, in units * 1e-9, below 1e9
	uint64_t last_ns;
};

// Starts full. rate 0: never refills; burst 0: always empty.
void rate_init(struct rate *r, uint64_t rate, uint64_t burst, uint64_t now_ns);
// Takes n units if they are there.
bool rate_take(struct rate *r, uint64_t n, uint64_t now_ns);
// When n units will be there, if nobody takes any. UINT64_MAX: never (n > burst or rate 0).
uint64_t rate_ready_ns(struct rate *r, uint64_t n, uint64_t now_ns);
