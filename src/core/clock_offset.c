// Bounds on the offset and the drift of two clocks: rtvs/clock_offset.h. The control plane adds
// exchanges with a peer. The datapath judges delays with the offset and the uncertainty.
// Invariants: lo <= hi for offset and drift; every rounding widens. All sums of bounds fit 64 bits:
// they begin near 0, relative to a base. They move by at most 500 ppm of the time that passes, and
// a trip, 1 s.
#include "rtvs/clock_offset.h"

#include <stddef.h>

#define NS_PER_S INT64_C(1000000000)

struct range {
	int64_t lo, hi;
};

static int64_t
min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

// b > 0.
static int64_t
divide_down(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t
divide_up(int64_t a, int64_t b)
{
	return a / b + (a % b > 0);
}

#define BOUND_MAX_NS (INT64_MAX / 4)

// ppb of a time up to CLOCK_OFFSET_MAX_AGE_NS: 5e5 * 3.6e12 is below 2^61.
static struct range
gain(struct range drift_ppb, int64_t dt_ns)
{
	return (struct range){divide_down(drift_ppb.lo * dt_ns, NS_PER_S), divide_up(drift_ppb.hi * dt_ns, NS_PER_S)};
}

static struct range
any_drift(void)
{
	return (struct range){-CLOCK_OFFSET_MAX_DRIFT_PPB, CLOCK_OFFSET_MAX_DRIFT_PPB};
}

// The known bounds of the drift at a time that is dt_ns away, and in between. dt_ns <=
// CLOCK_OFFSET_MAX_AGE_NS.
static struct range
drift_after(const struct clock_offset *c, int64_t dt_ns)
{
	int64_t wander_ppb = divide_up(CLOCK_OFFSET_WANDER_PPB * dt_ns, NS_PER_S);

	return (struct range){max(c->drift_lo_ppb - wander_ppb, -CLOCK_OFFSET_MAX_DRIFT_PPB),
		min(c->drift_hi_ppb + wander_ppb, CLOCK_OFFSET_MAX_DRIFT_PPB)};
}

// False: too far.
static bool
find_distance(const struct clock_offset_bounds *from, uint64_t at_ns, int64_t *ret_dt_ns)
{
	*ret_dt_ns = (int64_t)(at_ns - from->at_ns);
	return *ret_dt_ns <= (int64_t)CLOCK_OFFSET_MAX_AGE_NS && *ret_dt_ns >= -(int64_t)CLOCK_OFFSET_MAX_AGE_NS;
}

// The offset dt_ns later, or earlier, by any drift of the range between.
static struct range
offset_after(const struct clock_offset_bounds *b, struct range drift_ppb, int64_t dt_ns)
{
	struct range moved =
		dt_ns < 0 ? gain((struct range){-drift_ppb.hi, -drift_ppb.lo}, -dt_ns) : gain(drift_ppb, dt_ns);

	return (struct range){b->lo_ns + moved.lo, b->hi_ns + moved.hi};
}

// False: they have nothing in common.
static bool
intersect(struct range *r, struct range with)
{
	r->lo = max(r->lo, with.lo);
	r->hi = min(r->hi, with.hi);
	return r->lo <= r->hi;
}

void
clock_offset_init(struct clock_offset *c)
{
	*c = (struct clock_offset){.is_known = false};
}

// The bounds that the exchange alone gives at t4, with a nanosecond for clocks that round down and
// any drift during the trip. False: its times contradict each other.
static bool
read_exchange(const struct clock_offset_exchange *e, uint64_t base_ns, struct clock_offset_bounds *ret_bounds)
{
	uint64_t trip_ns = e->t4_ns - e->t1_ns, answer_ns = e->t3_ns - e->t2_ns, slack_ns;

	if (trip_ns > CLOCK_OFFSET_MAX_TRIP_NS)
		return false;
	slack_ns = (uint64_t)gain(any_drift(), (int64_t)trip_ns).hi + 2;
	if (answer_ns > trip_ns + slack_ns)
		return false;
	ret_bounds->at_ns = e->t4_ns;
	ret_bounds->lo_ns = (int64_t)(e->t3_ns - e->t4_ns - 1 - base_ns);
	// The two are at most 1.001 s apart. Only bounds that are far from all known bounds can
	// wrap, and those are a step either way.
	ret_bounds->hi_ns = (int64_t)((uint64_t)ret_bounds->lo_ns + trip_ns - answer_ns + slack_ns);
	return true;
}

static void
forget_drift(struct clock_offset *c)
{
	c->drift_lo_ppb = -CLOCK_OFFSET_MAX_DRIFT_PPB;
	c->drift_hi_ppb = CLOCK_OFFSET_MAX_DRIFT_PPB;
	for (unsigned i = 0; i < CLOCK_OFFSET_SLOTS; i++)
		c->has_best[i] = false;
}

static void
keep_best(struct clock_offset *c, const struct clock_offset_bounds *b)
{
	unsigned i = (b->at_ns >> CLOCK_OFFSET_SLOT_BITS) % CLOCK_OFFSET_SLOTS;
	struct clock_offset_bounds *best = &c->best[i];

	if (c->has_best[i] && best->at_ns >> CLOCK_OFFSET_SLOT_BITS == b->at_ns >> CLOCK_OFFSET_SLOT_BITS &&
		best->hi_ns - best->lo_ns <= b->hi_ns - b->lo_ns)
		return;
	*best = *b;
	c->has_best[i] = true;
}

// Nothing but this exchange is known.
static void
start(struct clock_offset *c, const struct clock_offset_exchange *e)
{
	c->is_known = true;
	c->base_ns = e->t3_ns - e->t4_ns;
	(void)read_exchange(e, c->base_ns, &c->now);
	c->last = c->now;
	forget_drift(c);
	keep_best(c, &c->now);
}

// The mean drift between two exchanges, and its largest difference from the drift at the later one.
// They differ by less than 500 ppm of 69 s and two trips, 2.1 s: times 1e9 that is below 2^61.
static bool
drift_between(const struct clock_offset_bounds *a, const struct clock_offset_bounds *b, struct range *ret_ppb)
{
	int64_t dt_ns = (int64_t)(b->at_ns - a->at_ns), wander_ppb;

	if (dt_ns <= 0 || dt_ns >= (int64_t)CLOCK_OFFSET_SLOTS << CLOCK_OFFSET_SLOT_BITS)
		return false;
	wander_ppb = divide_up(CLOCK_OFFSET_WANDER_PPB * dt_ns, NS_PER_S);
	*ret_ppb = (struct range){divide_down((b->lo_ns - a->hi_ns) * NS_PER_S, dt_ns) - wander_ppb,
		divide_up((b->hi_ns - a->lo_ns) * NS_PER_S, dt_ns) + wander_ppb};
	return true;
}

// Adds the exchange's bounds of the drift to the known bounds. False: they contradict each other.
static bool
learn_drift(const struct clock_offset *c, const struct clock_offset_bounds *b, struct range *drift_ppb)
{
	for (unsigned i = 0; i < CLOCK_OFFSET_SLOTS; i++) {
		struct range ppb;

		if (c->has_best[i] && drift_between(&c->best[i], b, &ppb) && !intersect(drift_ppb, ppb))
			return false;
	}
	return true;
}

// Adds the exchange to what is known. False: the clocks do not run as they did.
static bool
narrow(struct clock_offset *c, const struct clock_offset_bounds *b, int64_t dt_ns)
{
	struct range drift_ppb = drift_after(c, dt_ns), offset = offset_after(&c->now, drift_ppb, dt_ns);

	if (!intersect(&offset, (struct range){b->lo_ns, b->hi_ns}) || !learn_drift(c, b, &drift_ppb))
		return false;
	c->now = (struct clock_offset_bounds){b->at_ns, offset.lo, offset.hi};
	c->drift_lo_ppb = drift_ppb.lo;
	c->drift_hi_ppb = drift_ppb.hi;
	c->last = *b;
	keep_best(c, b);
	return true;
}

// Some drift, which may have changed at any time, leads from each of the stored exchanges to this
// one.
static bool
is_explained(const struct clock_offset *c, const struct clock_offset_bounds *b)
{
	for (unsigned i = 0; i <= CLOCK_OFFSET_SLOTS; i++) {
		const struct clock_offset_bounds *from = i < CLOCK_OFFSET_SLOTS ? &c->best[i] : &c->last;
		struct range offset;
		int64_t dt_ns;

		if ((i < CLOCK_OFFSET_SLOTS && !c->has_best[i]) || !find_distance(from, b->at_ns, &dt_ns))
			continue;
		offset = offset_after(from, any_drift(), dt_ns);
		if (!intersect(&offset, (struct range){b->lo_ns, b->hi_ns}))
			return false;
	}
	return true;
}

static enum clock_offset_result
take(struct clock_offset *c, const struct clock_offset_exchange *e)
{
	struct clock_offset_bounds b;
	enum clock_offset_result result;
	int64_t dt_ns;

	if (!read_exchange(e, c->base_ns, &b))
		return CLOCK_OFFSET_REFUSED;
	if (!c->is_known) {
		start(c, e);
		return CLOCK_OFFSET_TAKEN;
	}
	if (!find_distance(&c->now, e->t4_ns, &dt_ns) || dt_ns < 0) {
		start(c, e);
		return CLOCK_OFFSET_STEPPED;
	}
	if (narrow(c, &b, dt_ns))
		return CLOCK_OFFSET_TAKEN;
	result = is_explained(c, &b) ? CLOCK_OFFSET_BENT : CLOCK_OFFSET_STEPPED;
	start(c, e); // since when they run otherwise is unknown: only this exchange is certain
	return result;
}

enum clock_offset_result
clock_offset_add(struct clock_offset *c, const struct clock_offset_exchange *exchange)
{
	enum clock_offset_result result = take(c, exchange);
	uint64_t *const counters[] = {&c->n_taken, &c->n_refused, &c->n_bent, &c->n_stepped};

	++*counters[result];
	return result;
}

bool
clock_offset_at(const struct clock_offset *c, uint64_t local_ns, int64_t *ret_offset_ns, uint64_t *ret_uncertainty_ns)
{
	struct range offset;
	int64_t dt_ns;

	if (!c->is_known || !find_distance(&c->now, local_ns, &dt_ns))
		return false;
	offset = offset_after(&c->now, drift_after(c, dt_ns < 0 ? -dt_ns : dt_ns), dt_ns);
	*ret_offset_ns = (int64_t)(c->base_ns + (uint64_t)(offset.lo + (offset.hi - offset.lo) / 2));
	*ret_uncertainty_ns = (uint64_t)divide_up(offset.hi - offset.lo, 2);
	return true;
}

// Nothing that is added to them wraps.
static bool
are_bounds(const struct clock_offset_bounds *b)
{
	return b->lo_ns <= b->hi_ns && b->lo_ns >= -BOUND_MAX_NS && b->hi_ns <= BOUND_MAX_NS;
}

bool
clock_offset_is_consistent(const struct clock_offset *c)
{
	if (!c->is_known)
		return true;
	if (!are_bounds(&c->now) || !are_bounds(&c->last) || c->drift_lo_ppb > c->drift_hi_ppb ||
		c->drift_lo_ppb < -CLOCK_OFFSET_MAX_DRIFT_PPB || c->drift_hi_ppb > CLOCK_OFFSET_MAX_DRIFT_PPB)
		return false;
	for (unsigned i = 0; i < CLOCK_OFFSET_SLOTS; i++)
		if (c->has_best[i] && !are_bounds(&c->best[i]))
			return false;
	return true;
}
