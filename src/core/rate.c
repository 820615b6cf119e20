// Token buckets, of one thread and of many. The datapath limits floods with them; the scheduler's
// reservations use the same arithmetic. Invariant: tokens <= full, and tokens is exactly the
// content of a bucket over rational numbers at last_ns, in billionths.
#include "rtvs/rate.h"

#include <assert.h>

void
rate_set(struct rate *r, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	assert(rate <= RATE_MAX && burst <= RATE_BURST_MAX);
	rate_refill(r, now_ns);
	rate_store(&r->rate, rate);
	rate_store(&r->full, burst * RATE_SCALE);
	// Rounded up. Without a rate it is never full again.
	rate_store(&r->fill_ns, rate ? (r->full + rate - 1) / rate : UINT64_MAX);
	if (r->tokens > r->full)
		rate_store(&r->tokens, r->full);
}

void
rate_init(struct rate *r, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	rate_store(&r->tokens, UINT64_MAX);
	rate_store(&r->last_ns, now_ns);
	rate_set(r, rate, burst, now_ns);
}

static uint64_t
load(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

uint64_t
rate_look(const struct rate *r, uint64_t now_ns)
{
	struct rate copy = {.rate = load(&r->rate),
		.full = load(&r->full),
		.fill_ns = load(&r->fill_ns),
		.tokens = load(&r->tokens),
		.last_ns = load(&r->last_ns)};

	if (copy.tokens > copy.full) // it is being changed
		copy.tokens = copy.full;
	rate_refill(&copy, now_ns);
	return copy.tokens / RATE_SCALE;
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

static uint64_t
cost(const struct rate_limit *l, uint64_t n)
{
	return n * (RATE_SCALE * RATE_LIMIT_PARTS) / l->rate; // below 2^63
}

// The time since which nothing was taken, as far as the bucket can hold it. A time later than now
// means a debt.
static uint64_t
paid_since(const struct rate_limit *l, uint64_t paid, uint64_t now_ns)
{
	uint64_t full = now_ns > l->burst_ns ? (now_ns - l->burst_ns) * RATE_LIMIT_PARTS : 0;

	return paid > full ? paid : full;
}

static bool
take(const struct rate_limit *l, uint64_t *paid, uint64_t n, bool may_owe, uint64_t now_ns)
{
	uint64_t was = __atomic_load_n(paid, __ATOMIC_RELAXED), until;

	do {
		until = paid_since(l, was, now_ns) + cost(l, n);
		if (!may_owe && until > now_ns * RATE_LIMIT_PARTS)
			return false;
	} while (!__atomic_compare_exchange_n(paid, &was, until, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

void
rate_limit_init(struct rate_limit *l, uint64_t rate, uint64_t burst)
{
	assert(rate <= RATE_MAX && burst <= RATE_BURST_MAX);
	*l = (struct rate_limit){.rate = rate, .burst_ns = rate ? (burst * RATE_SCALE + rate - 1) / rate : 0};
}

void
rate_limit_charge(const struct rate_limit *l, uint64_t *paid, uint64_t n, uint64_t now_ns)
{
	(void)take(l, paid, n, true, now_ns);
}

bool
rate_limit_take(const struct rate_limit *l, uint64_t *paid, uint64_t n, uint64_t now_ns)
{
	return take(l, paid, n, false, now_ns);
}

uint64_t
rate_limit_room(const struct rate_limit *l, const uint64_t *paid, uint64_t largest, uint64_t now_ns)
{
	uint64_t now = now_ns * RATE_LIMIT_PARTS;
	uint64_t since = paid_since(l, __atomic_load_n(paid, __ATOMIC_RELAXED), now_ns);

	return since > now ? 0 : 1 + (now - since + l->burst_ns * RATE_LIMIT_PARTS) / (cost(l, largest) + 1);
}
