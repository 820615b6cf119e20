// The state of one hold (rtvs/hold.h). Thresholds at a half and a quarter of the limit keep a sender from being held and
// released for each packet.
#include "rtvs/hold.h"

bool
hold_queued(struct hold *h, uint32_t n_queued, uint32_t limit, uint64_t stuck_ns, uint64_t now_ns)
{
	bool is_stuck = stuck_ns >= HOLD_STUCK_NS;

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
