// The scheduler of one egress port in the datapath: core's scheduler (rtvs/sched.h) between the
// stage and the port, with a sender for each sender (senders.h).
// The control thread makes and frees it, and the worker that owns the port uses it.
#pragma once

#include "worker.h"

struct schedule;
struct senders;

// Senders and ports that a worker brings up to a new view in one turn: some microseconds, whatever
// the number of ports.
#define SCHEDULE_UPDATE_AT_ONCE 64

int schedule_create(struct schedule **ret_schedule, uint64_t now_ns); // -ENOMEM
// With the packets that wait in it. The worker that owned the port does not use it any more, and
// who was held back by it is released. NULL is accepted.
void schedule_destroy(struct schedule *q, struct worker *owner);
// Control thread, the same: the next sender that is held back. *pos: 0 at first. False: no more.
bool schedule_next_held(const struct schedule *q, uint32_t *pos, uint16_t *ret_sender);
// Control thread: how long a sender was held back.
uint64_t schedule_held_ns(const struct schedule *q, uint16_t sender);
// Control thread: what became of the packets of the next sender. *pos: 0 at first. False: no more.
bool schedule_next_sender(const struct schedule *q, uint32_t *pos, uint64_t now_ns, struct dp_sender *ret_sender);

// Takes the staged packets of the port: through at once when no packet waits, else into its
// senders' queues.
void schedule_put(struct worker *w, const struct view *view, uint16_t out);
// Frames that are no packets: true if n of one port's, which come now, would leave at once. Then
// schedule_passed must be called for those that did leave, with their place.
bool schedule_may_pass(struct worker *w, const struct view *view, uint16_t out, uint16_t sender, uint16_t n,
	uint64_t bytes, uint32_t *ret_place);
void schedule_passed(
	struct worker *w, const struct view *view, uint16_t out, uint32_t place, const uint32_t *lens, uint16_t n);
// Gives the worker's ports what is due; how many packets.
unsigned schedule_serve_all(struct worker *w, const struct view *view);
// After a new view, each turn until w->view_gen is its: parameters of some senders and links.
void schedule_update(struct worker *w, const struct view *view);
struct senders *schedule_senders(struct schedule *q); // the control thread, workers are halted

// The control thread, workers are halted. Calls fn_cb for each packet that waits. First come those
// that were taken out for the device, in their order. Then come senders, in the order of their
// turns where they have one, each with its packets in their order.
typedef void schedule_waiting_fn(void *arg, struct rte_mbuf *m, bool is_pending);
void schedule_each_waiting(struct schedule *q, schedule_waiting_fn *fn_cb, void *arg);
// The same: m, which waited so at the port in another process, waits here, as of its own time of
// arrival. w: the owner, now_ns is set. False: there is no room for it, and m stays the caller's.
bool schedule_restore(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m, bool is_pending);
// When one of the worker's schedules has something to give, if one holds packets.
bool schedule_next_ns(const struct worker *w, const struct view *view, uint64_t *ret_ns);
