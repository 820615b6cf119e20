// The senders of one scheduled egress port: who has which place (rtvs/sender_table.h), the
// scheduler of their packets (rtvs/sched.h), what became of them, and who is held back. A sender is
// an ingress port; it has a place from its first packet until its port is gone. Those beyond
// SENDER_MAX share a place, without guarantees; one with a guarantee takes the place of one without
// that has nothing queued. A place takes memory from when it is first used. Used by the worker that
// owns the port, but where it says so.
#pragma once

#include "backpressure.h"
#include "rtvs/sched.h"
#include "rtvs/sender_table.h"
#include "view.h"
#include "worker.h"

_Static_assert(SENDER_MAX == DP_MAX_SENDERS, "as users are told");
#define SENDERS_PLACES (SENDER_MAX + 1)
#define SENDERS_SHARED_LIMIT 1024 // packets queued of all that share a place

struct sender {
	uint64_t gen; // of the view whose parameters it has
	uint64_t answer; // feedback's, that it has (view_answer)
	uint64_t serial; // of the port whose packets are counted
	uint32_t n_buffers; // of its packets that are queued
	bool has_guarantee;
	struct held_sender held;
};

struct senders {
	struct sched s; // its senders are places
	struct backpressure back;
	uint64_t gen; // of the view whose rate the link has
	uint32_t n_begun; // places below were used once
	uint32_t hand; // where the next place to be given up is looked for
	_Atomic bool is_shared; // SENDER_SHARED is used; dp: wo, ctl: ro
	struct sender_table table; // dp: wo, ctl: ro
	struct sender at[SENDERS_PLACES]; // by place
	struct hist delay[SENDERS_PLACES]; // of those with a guarantee; dp: wo, ctl: ro
};

// memory: sched_memory_bytes(SENDERS_PLACES), aligned to SCHED_ALIGN; it and t are zero.
void senders_init(struct senders *t, void *memory, uint64_t now_ns);

// The place of a sender that has none, or not yet the view's parameters and feedback's answer
// (place: as the table says).
uint32_t senders_admit(
	struct worker *w, const struct view *view, uint16_t out, struct senders *t, uint16_t port, uint32_t place);

// The same of the shared place.
void senders_share(struct worker *w, const struct view *view, uint16_t out, struct senders *t);

// Where a packet's sender has its place.
static inline uint32_t
senders_place(struct worker *w, const struct view *view, uint16_t out, struct senders *t, uint16_t port)
{
	uint32_t place = sender_table_find(&t->table, port);

	if (likely(place != SENDER_SHARED && t->at[place].gen == view->gen &&
		    t->at[place].answer == view_answer(view_port(view, port))))
		return place;
	return senders_admit(w, view, out, t, port, place);
}

// The next place from `from` on that has been used, the shared one last; SENDERS_PLACES: none. Any
// thread.
uint32_t senders_next(const struct senders *t, uint32_t from);
// The link has the view's rate, and nobody is held whom the port may not hold.
void senders_set_link(struct worker *w, const struct view *view, uint16_t out, struct senders *t);
// Gives places, from *place on, the view's parameters, and frees those of ports that are gone: at
// most max of them; how many it looked at. *place: where to go on, SENDERS_PLACES: nowhere.
uint32_t senders_update(
	struct worker *w, const struct view *view, uint16_t out, struct senders *t, uint32_t *place, uint32_t max);
// All senders are read again.
void senders_release_all(struct worker *w, const struct view *view, uint16_t out, struct senders *t);
// Control thread: what became of the packets of a place. False: none came.
bool senders_read(const struct senders *t, uint32_t place, uint64_t now_ns, struct dp_sender *ret_sender);
