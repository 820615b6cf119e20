// The state of one hold (rtvs/hold.h). Thresholds at a half and a quarter of the limit keep a sender from being held and
// released for each packet.
#include "rtvs/hold.h"

bool
hold_queued(struct hold *h, uint32_t n_queued, uint32_t limit, bool is_stuck, uint64_t now_ns)
{
	if (h->since_ns && (is_stuck || now_ns >= h->since_ns + HOLD_MAX_NS))
		(void)hold_end(h);
	else if (!h->since_ns && !h->is_spent && !is_stuck && n_queued >= limit / 2)
		h->since_ns = now_ns;
	return h->since_ns;
}

bool
hold_left(struct hold *h, uint32_t n_queued, uint32_t limit)
{
	bool was_held = h->since_ns;

	if (n_queued > limit / 4)
		return false;
	*h = (struct hold){0};
	return was_held;
}

bool
hold_end(struct hold *h)
{
	if (!h->since_ns)
		return false;
	*h = (struct hold){.is_spent = true};
	return true;
}

bool
hold_offered(struct hold_device *d, bool took_some, uint64_t now_ns)
{
	if (took_some)
		*d = (struct hold_device){0};
	else if (!d->refused_since_ns)
		d->refused_since_ns = now_ns;
	if (took_some || d->is_stuck || now_ns - d->refused_since_ns < HOLD_STUCK_NS)
		return false;
	d->is_stuck = true;
	return true;
}
