// A source that sends in some periods only, in each of them as if it began anew.
#pragma once

#include "source.h"

#define STREAM_MAX_PERIODS 16u

struct stream_times {
	uint32_t n; // periods, which ascend and do not overlap
	struct {
		uint64_t from_ns, to_ns;
	} at[STREAM_MAX_PERIODS];
};

struct stream {
	struct source_params params; // start_ns: from the start of a period
	const struct stream_times *times;
	uint32_t period;
	uint64_t start_ns, seed;
	struct source source;
};

// times: the caller's, as long as the stream is used. phase_ns: later than params say. The stream
// must not be moved.
void stream_init(struct stream *s, const struct source_params *params, const struct stream_times *times,
	uint64_t phase_ns, uint64_t seed);
// The time of the next packet; UINT64_MAX: none. source.len is its length; source_advance continues
// with the one after it.
uint64_t stream_next_ns(struct stream *s);
bool stream_times_has(const struct stream_times *times, uint64_t at_ns);
