// A port's `held` is one word: until when, and by which port. Two egress ports that hold one sender
// overwrite each other's word. The sender is then read a little early, and its next packet makes
// the other one write its own again.
#include "backpressure.h"

#define HELD_BY_MASK UINT64_C(0xfff) // in place of the lowest bits of the time
#define EVENT_NS UINT64_C(10000000000) // between two events about the same two ports

_Static_assert(DP_MAX_PORTS <= HELD_BY_MASK + 1, "a port's number fits");

static void
hold(struct worker *w, const struct view *view, uint16_t out, struct held_sender *h, uint16_t sender)
{
	uint64_t held = ((h->hold.since_ns + HOLD_MAX_NS) & ~HELD_BY_MASK) | out;
	// with the workers that read its ring
	_Atomic uint64_t *shared = &view_port(view, sender)->port->held;

	if (atomic_load_explicit(shared, memory_order_relaxed) != held)
		atomic_store_explicit(shared, held, memory_order_relaxed);
	if (h->told_ns && w->now_ns - h->told_ns < EVENT_NS)
		return;
	h->told_ns = w->now_ns;
	event_queue_post(&w->env->events, (struct dp_event){.type = DP_EVENT_HOLD, .port = sender, .value = out});
}

void
backpressure_release(struct port_path *sender, uint16_t out)
{
	uint64_t held = atomic_load_explicit(&sender->held, memory_order_relaxed);

	if (held && (held & HELD_BY_MASK) == out)
		(void)atomic_compare_exchange_strong(&sender->held, &held, 0);
}

// since_ns: of the hold that has ended.
static void
end(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b, struct held_sender *h,
	uint16_t sender, uint64_t since_ns)
{
	uint64_t lasted_ns = RTE_MIN(w->now_ns - since_ns, HOLD_MAX_NS);

	b->n_holds--;
	atomic_store_explicit(
		&h->held_ns, atomic_load_explicit(&h->held_ns, memory_order_relaxed) + lasted_ns, memory_order_relaxed);
	if (view_port(view, sender)->port)
		backpressure_release(view_port(view, sender)->port, out);
}

void
backpressure_queued(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b,
	struct held_sender *h, uint16_t sender, struct fill fill)
{
	uint64_t since_ns = h->hold.since_ns;

	if (!since_ns && fill.n < fill.limit / 2)
		return;
	if (!view_port(view, sender)->may_be_held)
		return;
	if (hold_queued(&h->hold, fill.n, fill.limit, b->stuck_ns, w->now_ns)) {
		b->n_holds += !since_ns;
		hold(w, view, out, h, sender);
	} else if (since_ns) {
		end(w, view, out, b, h, sender, since_ns);
	}
}

void
backpressure_left(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b,
	struct held_sender *h, uint16_t sender, struct fill fill)
{
	uint64_t since_ns = h->hold.since_ns;

	if (!since_ns && !h->hold.slow_since_ns)
		return;
	if (hold_left(&h->hold, fill.one, fill.n, fill.limit, w->now_ns))
		end(w, view, out, b, h, sender, since_ns);
}

bool
backpressure_offered(struct backpressure *b, uint64_t stuck_ns)
{
	bool was_stuck = b->stuck_ns >= HOLD_STUCK_NS;

	b->stuck_ns = stuck_ns;
	return stuck_ns >= HOLD_STUCK_NS && !was_stuck;
}

void
backpressure_end(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b, struct held_sender *h,
	uint16_t sender)
{
	uint64_t since_ns = h->hold.since_ns;

	if (hold_end(&h->hold, w->now_ns))
		end(w, view, out, b, h, sender, since_ns);
}

void
backpressure_forget(struct backpressure *b, struct held_sender *h)
{
	b->n_holds -= h->hold.since_ns != 0;
	h->hold = (struct hold){0};
	h->told_ns = 0;
	atomic_store_explicit(&h->held_ns, 0, memory_order_relaxed);
}
