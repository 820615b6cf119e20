// Token bucket. The datapath limits floods with it; the scheduler's reservations use the same arithmetic.
// Invariant: tokens <= full, and tokens is exactly what a bucket over rational numbers would hold at last_ns, in billionths.
#include "rtvs/rate.h"

#include <assert.h>

void
rate_set(struct rate *r, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	assert(rate <= RATE_MAX && burst <= RATE_BURST_MAX);
	rate_refill(r, now_ns);
	r->rate = rate;
	r->full = burst * RATE_SCALE;
	// Rounded up. Without a rate it is never full again.
	r->fill_ns = rate ? (r->full + rate - 1) / rate : UINT64_MAX;
	if (r->tokens > r->full)
		r->tokens = r->full;
}

void
rate_init(struct rate *r, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	*r = (struct rate){.tokens = UINT64_MAX, .last_ns = now_ns};
	rate_set(r, rate, burst, now_ns);
}

uint64_t
rate_ready_ns(struct rate *r, uint64_t n, uint64_t now_ns)
{
	uint64_t missing, dt_ns;

	rate_refill(r, now_ns);
	if (n > RATE_BURST_MAX || n * RATE_SCALE > r->full)
		return UINT64_MAX;
	if (n * RATE_SCALE <= r->tokens)
		return now_ns;
	if (!r->rate)
		return UINT64_MAX;
	missing = n * RATE_SCALE - r->tokens;
	dt_ns = missing / r->rate + !!(missing % r->rate);
	return r->last_ns <= UINT64_MAX - dt_ns ? r->last_ns + dt_ns : UINT64_MAX;
}
