// The scheduler of one egress port in the datapath: core's scheduler (rtvs/sched.h) between the
// stage and the port. A flow is the traffic of one ingress port, its number the ingress port's id.
// The control thread makes and frees it, and the worker that owns the port uses it.
#pragma once

#include "worker.h"

struct schedule;

int schedule_create(struct schedule **ret_schedule, uint64_t now_ns); // -ENOMEM
// Also frees the packets that wait in it. No worker uses it any more, and held senders are
// released. NULL is accepted.
void schedule_destroy(struct schedule *q);
// Control thread: delays of this flow are kept from the next view on. -ENOMEM
int schedule_keep_delay(struct schedule *q, uint16_t flow);
// Control thread: how long a sender was held back.
uint64_t schedule_held_ns(const struct schedule *q, uint16_t sender);
// Control thread: the counters of a flow. False: none of its packets came yet, and it has no
// guarantee.
bool schedule_flow(const struct schedule *q, uint16_t flow, struct dp_flow *ret_flow);

// Takes the staged packets of the port: through at once when no packet waits, else into its flows'
// queues.
void schedule_put(struct worker *w, const struct view *view, uint16_t out);
// Gives the worker's ports what is due; how many packets.
unsigned schedule_serve_all(struct worker *w, const struct view *view);
// After a new view: parameters of flows and links.
void schedule_apply(struct worker *w, const struct view *view);
// Tokens, for the control thread to read.
void schedule_snapshot(struct worker *w, const struct view *view);
// When one of the worker's schedules has something to give, if one holds packets.
bool schedule_next_ns(const struct worker *w, const struct view *view, uint64_t *ret_ns);
