// Log-linear histogram of 64-bit values: 16 linear steps per power of two, so that a percentile is
// off by at most 1/16 (6.25 %). Covers 0 to 2^64 - 1 in 976 counters, without allocation. One
// writer; readers load relaxed and may see a value counted a moment late. Source of the layout:
// HdrHistogram's bucket idea (G. Tene), base 2, 4 bits of precision.
#pragma once

#include <stdint.h>

#define HIST_SUB_BITS 4
#define HIST_SUB (1u << HIST_SUB_BITS)
#define HIST_BUCKETS ((64 - HIST_SUB_BITS + 1) * HIST_SUB)

struct hist {
	uint64_t count, sum, max; // sum wraps silently after 2^64
	uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h); // the writer; others may read meanwhile
// Writer.
void hist_add(struct hist *h, uint64_t value);
void hist_add_n(struct hist *h, uint64_t value, uint64_t n); // the same value n times
// Adds src to dst; dst belongs to the caller.
void hist_merge(struct hist *dst, const struct hist *src);
// Smallest bucket bound at or below which at least the share permyriad_x10 / 100,000 of all values
// lie (99.99 % = 99,990); never more than max. 0 when empty.
uint64_t hist_percentile(const struct hist *h, uint32_t per_100k);
// Bounds of a bucket, inclusive.
uint64_t hist_bucket_low(unsigned bucket);
uint64_t hist_bucket_high(unsigned bucket);
