// Token bucket in integers: `rate` units a second, at most `burst` units saved. Exact over any
// time: tokens are counted in billionths of a unit, of which one nanosecond brings `rate`. The
// caller chooses the unit (packets here, bytes elsewhere).
// Bounds: rate 0 to 5e10 (400 Gbit/s in bytes), burst 0 to 2^32. Gaps between calls may be of any
// length. Time may stand still but not go back (then nothing is refilled).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RATE_SCALE UINT64_C(1000000000) // tokens of a unit; nanoseconds of a second
#define RATE_MAX UINT64_C(50000000000)
#define RATE_BURST_MAX (UINT64_C(1) << 32)

struct rate {
	uint64_t rate; // units/s, tokens/ns
	uint64_t full; // burst in tokens, below 2^62
	uint64_t fill_ns; // an empty bucket is full after it
	uint64_t tokens;
	uint64_t last_ns;
};

// Starts full. rate 0: never refills; burst 0: always empty.
void rate_init(struct rate *r, uint64_t rate, uint64_t burst, uint64_t now_ns);
// New rate and burst from now_ns on. Until then tokens came at the old rate and were saved up to
// the old burst. They stay, as far as the new burst holds them.
void rate_set(struct rate *r, uint64_t rate, uint64_t burst, uint64_t now_ns);
// When n units will be there, if none are taken. UINT64_MAX: never (n > burst or rate 0).
uint64_t rate_ready_ns(struct rate *r, uint64_t n, uint64_t now_ns);

// Units that are there, for any thread, while one uses the bucket: as of a moment ago. What is seen
// in the middle of a refill may be off by that refill.
uint64_t rate_look(const struct rate *r, uint64_t now_ns);

// What other threads may look at.
static inline void
rate_store(uint64_t *value, uint64_t to)
{
	__atomic_store_n(value, to, __ATOMIC_RELAXED);
}

static inline void
rate_refill(struct rate *r, uint64_t now_ns)
{
	uint64_t dt_ns;

	if (now_ns <= r->last_ns)
		return;
	dt_ns = now_ns - r->last_ns;
	rate_store(&r->last_ns, now_ns);
	// dt <= fill_ns: the product is below full + rate.
	if (dt_ns > r->fill_ns || r->rate * dt_ns >= r->full - r->tokens)
		rate_store(&r->tokens, r->full);
	else
		rate_store(&r->tokens, r->tokens + r->rate * dt_ns);
}

// Takes n units, 2^34 at most, if they are there. Inline: the scheduler and the flood limit ask for
// every packet.
static inline bool
rate_take(struct rate *r, uint64_t n, uint64_t now_ns)
{
	rate_refill(r, now_ns);
	if (n * RATE_SCALE > r->tokens)
		return false;
	rate_store(&r->tokens, r->tokens - n * RATE_SCALE);
	return true;
}

// A limit that any number of threads share, without a lock. The bucket is one word: the time, in
// parts of a nanosecond, at which all taken units are paid for. The bucket is full when that time
// is burst_ns ago, and in debt when it is to come. A word of 0 is a full bucket.
#define RATE_LIMIT_PARTS 16 // costs are exact to a sixteenth of a nanosecond; clocks up to 36 years

struct rate_limit {
	uint64_t rate; // units/s up to RATE_MAX, 0: no limit
	uint64_t burst_ns; // what the bucket holds
};

// burst: units up to RATE_BURST_MAX
void rate_limit_init(struct rate_limit *l, uint64_t rate, uint64_t burst);
// Takes n units, 2^29 at most, be they there or not.
void rate_limit_charge(const struct rate_limit *l, uint64_t *paid, uint64_t n, uint64_t now_ns);
// Takes n units if they are there.
bool rate_limit_take(const struct rate_limit *l, uint64_t *paid, uint64_t n, uint64_t now_ns);
// How many things of at most `largest` units may be taken before their size is known. 0: the bucket
// is in debt. Otherwise the debt after so many things is below the burst and one of them. Threads
// that ask at the same time may each owe as much.
uint64_t rate_limit_room(const struct rate_limit *l, const uint64_t *paid, uint64_t largest, uint64_t now_ns);
