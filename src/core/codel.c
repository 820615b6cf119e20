// The control law of RFC 8289, section 5, in another form. There a dequeue drops until it has a
// packet to send; here each packet is judged when its turn comes. The interval grows with the
// target where a link is so slow that the target is the time of its frames. Beyond the RFC, a
// packet that has waited for an interval is dropped. Senders that do not slow down are thus limited
// to a delay of an interval at once. The control law alone needs half a minute for ten times the
// link's rate.
#include "rtvs/codel.h"

#define NS_PER_S UINT64_C(1000000000)
// A state that is entered again within this many intervals begins with its former rate (section
// 5.3).
#define REENTRY 16u

uint64_t
codel_target_ns(uint64_t rate, uint32_t frame_bytes)
{
	uint64_t frames_ns = rate ? 2 * (uint64_t)frame_bytes * NS_PER_S / rate : 0;

	if (frames_ns > CODEL_TARGET_MAX_NS)
		return CODEL_TARGET_MAX_NS;
	return frames_ns > CODEL_TARGET_NS ? frames_ns : CODEL_TARGET_NS;
}

static uint64_t
square_root(uint64_t x)
{
	uint64_t root = 0;

	for (uint64_t bit = UINT64_C(1) << 62; bit; bit >>= 2) {
		if (x >= root + bit) {
			x -= root + bit;
			root = root / 2 + bit;
		} else {
			root /= 2;
		}
	}
	return root;
}

// Between two drops: interval / sqrt(count).
static uint64_t
gap_ns(const struct codel *c, uint64_t interval_ns)
{
	return square_root(interval_ns * interval_ns / c->count);
}

static bool
has_been_above(
	struct codel *c, uint64_t waited_ns, bool is_last, uint64_t target_ns, uint64_t interval_ns, uint64_t now_ns)
{
	if (waited_ns < target_ns || is_last) {
		c->first_above_ns = 0;
		return false;
	}
	if (!c->first_above_ns) {
		c->first_above_ns = now_ns + interval_ns;
		return false;
	}
	return now_ns >= c->first_above_ns;
}

static void
begin_dropping(struct codel *c, uint64_t interval_ns, uint64_t now_ns)
{
	uint32_t n = c->count - c->last_count;

	c->count = n > 1 && now_ns < c->drop_next_ns + REENTRY * interval_ns ? n : 1;
	c->last_count = c->count;
	c->drop_next_ns = now_ns + gap_ns(c, interval_ns);
	c->is_dropping = true;
}

bool
codel_drops(struct codel *c, uint64_t waited_ns, bool is_last, uint64_t target_ns, uint64_t now_ns)
{
	uint64_t interval_ns = CODEL_INTERVAL_NS - CODEL_TARGET_NS + target_ns;
	bool is_above = has_been_above(c, waited_ns, is_last, target_ns, interval_ns, now_ns);

	if (waited_ns > interval_ns && !is_last)
		return true;
	if (!is_above) {
		c->is_dropping = false;
		return false;
	}
	if (!c->is_dropping) {
		begin_dropping(c, interval_ns, now_ns);
		return true;
	}
	if (now_ns < c->drop_next_ns)
		return false;
	if (c->count < UINT32_MAX)
		c->count++;
	c->drop_next_ns += gap_ns(c, interval_ns);
	return true;
}
