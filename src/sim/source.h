// Traffic sources: the time of a flow's next packet, and its length. Pure, in integers: the same
// packets on any machine for the same seed. A source does not know the fate of its packets.
#pragma once

#include "rtvs/rate.h"

#include <stdbool.h>
#include <stdint.h>

enum source_type {
	SOURCE_CBR, // one packet every packet / rate
	// Cbr for a time, then silence for a time; both are exponential with means on and off.
	SOURCE_ONOFF,
	SOURCE_POISSON, // exponential gaps with mean packet / rate
	SOURCE_GREEDY, // the burst at once, then each packet as soon as a token bucket allows it
	SOURCE_BURSTS, // the packets of the burst at once, then nothing for burst / rate
	SOURCE_TRACE, // a list
	SOURCE_COUNT,
};

struct source_entry {
	uint64_t at_ns, len; // len: bytes
};

struct source_params {
	enum source_type type;
	// 8 bit/s at least, except for a trace; burst: greedy and bursts, packet at least.
	uint64_t link_rate_bps, burst_bytes;
	uint64_t start_ns, on_ns, off_ns;
	uint64_t packet; // bytes, 1 to 65,535
	struct source_entry *trace; // ascending
	uint32_t n_trace;
};

struct source {
	const struct source_params *params;
	uint64_t next_ns; // of the next packet; UINT64_MAX: none
	uint64_t len; // its bytes
	uint64_t seed, on_until_ns;
	unsigned __int128 remainder; // of a nanosecond, of the last gap
	struct rate tokens; // greedy
	uint64_t n_left; // bursts: packets of this one after the next
	uint32_t n_traced;
};

extern const char *const source_names[SOURCE_COUNT];

// params: the caller's, as long as the source is used.
void source_init(struct source *s, const struct source_params *params, uint64_t seed);
// To the packet after the next.
void source_advance(struct source *s);
// Exponential number with mean 1, in units of 2^-32; below 45 * 2^32.
uint64_t source_exponential(uint64_t *seed);
