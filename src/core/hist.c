// Log-linear histogram: values below 16 have a counter each, every power of two above has 16 of
// equal width. The datapath uses it for stalls and delays; the control plane reads it while the
// worker writes. Invariant: one thread writes a counter, whole and relaxed. Readers need no more
// than that each number was true a moment ago. hist_add is O(1) and without a branch on the value;
// reading is O(HIST_BUCKETS).
#include "rtvs/hist.h"

#define HIST_WHOLE 100000u // what 100 % is in hist_percentile

static uint64_t
load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

// One writer: a load and a store, no locked instruction.
static void
add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, load(counter) + n, __ATOMIC_RELAXED);
}

// value >> shift keeps the leading one and HIST_SUB_BITS bits behind it: 16 to 31, or the value
// itself below 16.
static unsigned
bucket_of(uint64_t value)
{
	unsigned shift = 63u - HIST_SUB_BITS - (unsigned)__builtin_clzll(value | HIST_SUB);

	return (shift << HIST_SUB_BITS) + (unsigned)(value >> shift);
}

void
hist_init(struct hist *h)
{
	uint64_t *const totals[] = {&h->count, &h->sum, &h->max};

	for (unsigned i = 0; i < 3; i++)
		__atomic_store_n(totals[i], 0, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		__atomic_store_n(&h->bucket[i], 0, __ATOMIC_RELAXED);
}

void
hist_add_n(struct hist *h, uint64_t value, uint64_t n)
{
	add(&h->bucket[bucket_of(value)], n);
	add(&h->count, n);
	add(&h->sum, value * n);
	if (value > load(&h->max))
		__atomic_store_n(&h->max, value, __ATOMIC_RELAXED);
}

void
hist_add(struct hist *h, uint64_t value)
{
	hist_add_n(h, value, 1);
}

void
hist_merge(struct hist *dst, const struct hist *src)
{
	uint64_t max = load(&src->max);

	add(&dst->count, load(&src->count));
	add(&dst->sum, load(&src->sum));
	if (max > load(&dst->max))
		__atomic_store_n(&dst->max, max, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		add(&dst->bucket[i], load(&src->bucket[i]));
}

// The number of n values that the share means, rounded up, at least one. per_100k <= HIST_WHOLE, so
// neither product exceeds n or HIST_WHOLE squared.
static uint64_t
rank_of(uint64_t n, uint32_t per_100k)
{
	uint64_t rank = n / HIST_WHOLE * per_100k + (n % HIST_WHOLE * per_100k + HIST_WHOLE - 1) / HIST_WHOLE;

	return rank ? rank : 1;
}

// Counts the buckets instead of trusting h->count: with a writer at work the two differ, and the
// rank must be within what the second pass can reach.
uint64_t
hist_percentile(const struct hist *h, uint32_t per_100k)
{
	uint64_t max = load(&h->max);
	uint64_t total = 0;
	uint64_t seen = 0;

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		total += load(&h->bucket[i]);
	if (!total)
		return 0;
	uint64_t rank = rank_of(total, per_100k < HIST_WHOLE ? per_100k : HIST_WHOLE);
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += load(&h->bucket[i]);
		if (seen >= rank) {
			uint64_t high = hist_bucket_high(i);

			return high < max ? high : max;
		}
	}
	return max;
}

uint64_t
hist_bucket_low(unsigned bucket)
{
	if (bucket < HIST_SUB)
		return bucket;
	unsigned shift = (bucket >> HIST_SUB_BITS) - 1;

	return (uint64_t)(HIST_SUB + (bucket & (HIST_SUB - 1))) << shift;
}

uint64_t
hist_bucket_high(unsigned bucket)
{
	return bucket + 1 < HIST_BUCKETS ? hist_bucket_low(bucket + 1) - 1 : UINT64_MAX;
}
