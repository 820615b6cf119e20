// Which of a thread's receive queues are polled each turn, and when the others are looked at.
//
// A queue that had nothing for POLL_IDLE_NS leaves the round: the caller asks for a wake-up, polls
// it once more, and tells. From then on it is looked at now and then, so that nothing depends on
// the wake-up, and is back in the round when it has something or its wake-up comes. How long a
// packet may wait for a look follows from what the queue gives and needs:
//
//   with a wake-up      POLL_LOST_NS; the wake-up is seen at the next look, after POLL_LOOK_NS
//   without             POLL_BLIND_NS
//   with a deadline     deadline / POLL_DEADLINE_DIV, if that is less; a queue that needs more
//                       looks than there are never leaves the round
//
// Idle queues of one interval are looked at in turn, a share of them at each look: the cost of a
// look is in proportion to how many there are, and never all of it at once.
//
// One thread. Never allocates, never reads a clock: now_ns is passed, ns on one monotonic clock.
// Complexity: all calls O(1), but poll_set_tired and poll_set_wake: O(queues in the round).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define POLL_LOOK_NS UINT64_C(20000) // between two looks, or a turn if that takes longer
#define POLL_LOOKS_LOG2 9 // every idle queue is looked at in as many looks as this power of two
// A queue is looked at within twice its interval, as others may come back to the round meanwhile.
#define POLL_LOST_NS (2 * POLL_LOOK_NS << POLL_LOOKS_LOG2) // 20 ms
#define POLL_BLIND_NS (2 * POLL_LOOK_NS)
#define POLL_DEADLINE_DIV 16
// A queue that is polled in vain for 1 ms has cost some 20 us; a kick costs its guest 2 to 5 us.
#define POLL_IDLE_NS UINT64_C(1000000)
// After a wake-up: what woke may show later than it woke, as net_tap's packets, which a signal has
// to tell first.
#define POLL_GRACE_NS UINT64_C(10000000)

struct poll_queue {
	struct poll_queue *next, *prev; // in its list
	uint16_t port, queue;
	bool is_idle;
	bool is_watched; // the caller's
	bool is_held; // the caller's: it was not read, though it may have something
	uint8_t interval; // of an idle one: POLL_LOOK_NS << interval
	const void *guest; // the caller's
	uint64_t awake_until_ns;
	uint64_t max_wait_ns;
};

struct poll_list {
	struct poll_queue *first; // NULL: there are none
	uint32_t n;
};

struct poll_set {
	struct poll_queue *queue; // of the caller
	uint32_t n, n_idle;
	struct poll_list round; // by port and queue
	struct poll_list idle[POLL_LOOKS_LOG2 + 1]; // by interval; the first is the next to look at
	uint32_t rate[POLL_LOOKS_LOG2 + 1]; // queues that the looks of an interval are for
	uint64_t credit[POLL_LOOKS_LOG2 + 1]; // looks that are owed, in parts of 1 << interval
	uint64_t n_looks, look_ns; // ever, and when the last of them was due
};

// queue: room for as many as are added.
void poll_set_init(struct poll_set *s, struct poll_queue *queue, uint64_t now_ns);
// Into the round. In order of port and queue. deadline_ns: of its packets, 0: none.
void poll_set_add(struct poll_set *s, uint16_t port, uint16_t queue, uint64_t deadline_ns, uint64_t now_ns);

// The queue had something, or is not polled though it may have.
static inline void
poll_set_found(struct poll_queue *q, uint64_t now_ns)
{
	q->awake_until_ns = now_ns + POLL_IDLE_NS;
}

static inline bool
poll_set_is_due(const struct poll_set *s, uint64_t now_ns)
{
	return now_ns - s->look_ns >= POLL_LOOK_NS;
}

// A queue of the round that may leave it, NULL: none.
struct poll_queue *poll_set_tired(const struct poll_set *s, uint64_t now_ns);
// Leaves the round. It was asked for a wake-up, if it has one, and has been polled once more.
void poll_set_sleep(struct poll_set *s, struct poll_queue *q, bool has_wakeup);
// Into the round, if it is not there, and it stays until until_ns at least.
void poll_set_wake(struct poll_set *s, struct poll_queue *q, uint64_t until_ns);

// Begins a look, when one is due.
void poll_set_look(struct poll_set *s, uint64_t now_ns);
// The next queue that is to be polled in this look, NULL: that is all. It may be woken before the
// next call.
struct poll_queue *poll_set_next(struct poll_set *s);

bool poll_set_is_consistent(const struct poll_set *s); // for tests
