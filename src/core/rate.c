// Token bucket. The datapath limits floods with it; the scheduler's reservations use the same arithmetic.
// Invariant: tokens <= burst, remainder < 1e9, and tokens + remainder / 1e9 is exactly what a bucket over
// rational numbers would hold at last_ns; a full bucket has no remainder.
#include "rtvs/rate.h"

#include <assert.h>

#define NS_PER_S UINT64_C(1000000000)
#define RATE_MAX UINT64_C(50000000000)
#define BURST_MAX (UINT64_C(1) << 32)

void
rate_init(struct rate *r, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	assert(rate <= RATE_MAX && burst <= BURST_MAX);
	*r = (struct rate){.rate = rate, .burst = burst, .tokens = burst, .last_ns = now_ns};
}

static void
fill(struct rate *r)
{
	r->tokens = r->burst;
	r->remainder = 0;
}

// rate * dt / 1e9, in parts that fit 64 bits. Whole seconds: at most burst / rate of them are multiplied, more
// fill the bucket. The rest is below 1e9 ns: times rate / 1e9 (at most 50) it is below 5e10, times rate % 1e9
// below 1e18, plus the remainder.
static void
refill(struct rate *r, uint64_t now_ns)
{
	if (now_ns <= r->last_ns)
		return;
	uint64_t dt_ns = now_ns - r->last_ns;
	uint64_t gained = 0;

	r->last_ns = now_ns;
	if (r->tokens == r->burst || !r->rate)
		return;
	if (dt_ns >= NS_PER_S) {
		uint64_t dt_s = dt_ns / NS_PER_S;

		if (dt_s > r->burst / r->rate) {
			fill(r);
			return;
		}
		gained = dt_s * r->rate;
		dt_ns %= NS_PER_S;
	}
	uint64_t fraction = dt_ns * (r->rate % NS_PER_S) + r->remainder;
	gained += dt_ns * (r->rate / NS_PER_S) + fraction / NS_PER_S;
	if (gained >= r->burst - r->tokens) {
		fill(r);
		return;
	}
	r->tokens += gained;
	r->remainder = fraction % NS_PER_S;
}

bool
rate_take(struct rate *r, uint64_t n, uint64_t now_ns)
{
	refill(r, now_ns);
	if (n > r->tokens)
		return false;
	r->tokens -= n;
	return true;
}

// The smallest dt with remainder + rate * dt >= missing * 1e9; missing is at most 2^32, the product below 2^62.
uint64_t
rate_ready_ns(struct rate *r, uint64_t n, uint64_t now_ns)
{
	refill(r, now_ns);
	if (n <= r->tokens)
		return now_ns;
	if (n > r->burst || !r->rate)
		return UINT64_MAX;
	uint64_t missing = (n - r->tokens) * NS_PER_S - r->remainder;
	uint64_t dt_ns = (missing + r->rate - 1) / r->rate;

	return dt_ns < UINT64_MAX - r->last_ns ? r->last_ns + dt_ns : UINT64_MAX;
}
