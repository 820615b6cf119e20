// Which queues a worker does not poll, and when it sleeps.
#pragma once

#include "view.h"
#include "worker.h"

// Polls the queue; how many packets. poll_set_found: it had some, or may have.
typedef unsigned poll_fn(struct worker *w, const struct view *view, struct poll_queue *q);
typedef bool poll_once_fn(struct worker *w, const struct view *view); // a turn

// After a new view, or when wakeup_gen has moved: all of the view's queues are polled. wakeup_gen:
// as of before the view was read.
void idle_apply(struct worker *w, const struct view *view, uint64_t wakeup_gen);
// When poll_set_is_due: looks at idle queues, and lets one leave the round that is empty for long.
// How many packets.
unsigned idle_look(struct worker *w, const struct view *view, poll_fn *poll);
// Sleeps until there may be work, or for a while. True: there was some, or something woke it.
bool idle_sleep(struct worker *w, const struct view *view, poll_once_fn *poll);
