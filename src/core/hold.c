// The state of one hold (rtvs/hold.h). Thresholds at a half and a quarter of the limit keep a
// sender from being held and released for each packet. Invariant: since_ns and slow_since_ns are
// not both set.
#include "rtvs/hold.h"

bool
hold_queued(struct hold *h, uint32_t n_queued, uint32_t limit, uint64_t stuck_ns, uint64_t now_ns)
{
	bool is_stuck = stuck_ns >= HOLD_STUCK_NS;

	if (h->since_ns && is_stuck)
		(void)hold_end(h, now_ns);
	else if (h->since_ns && now_ns >= h->since_ns + HOLD_MAX_NS)
		*h = (struct hold){.slow_since_ns = h->n_left < limit / 4 ? now_ns : 0};
	else if (!h->since_ns && !h->slow_since_ns && !is_stuck && n_queued >= limit / 2)
		*h = (struct hold){.since_ns = now_ns};
	return h->since_ns;
}

bool
hold_left(struct hold *h, uint32_t n_left, uint32_t n_queued, uint32_t limit, uint64_t now_ns)
{
	bool was_held = h->since_ns;
	bool is_in_time = now_ns - (was_held ? h->since_ns : h->slow_since_ns) < HOLD_MAX_NS;

	if (n_queued <= limit / 4) {
		*h = (struct hold){0};
		return was_held;
	}
	if (h->slow_since_ns && !is_in_time)
		*h = (struct hold){.slow_since_ns = now_ns, .n_left = n_left};
	else if (is_in_time)
		h->n_left += n_left;
	if (h->slow_since_ns && h->n_left >= limit / 4)
		*h = (struct hold){0};
	return false;
}

bool
hold_end(struct hold *h, uint64_t now_ns)
{
	if (!h->since_ns)
		return false;
	*h = (struct hold){.slow_since_ns = now_ns};
	return true;
}
