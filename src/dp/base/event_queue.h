// What the datapath tells the control thread, and the descriptor that wakes it. Lost when the ring is full, and counted.
#pragma once

#include "clock.h"
#include "rtvs/dp.h"

#include <rte_ring.h>

#include <stdatomic.h>

struct event_queue {
	struct rte_ring *ring; // of struct dp_event: many producers, the control thread consumes
	_Atomic uint64_t lost;
	int fd; // eventfd
	const struct clock *clock;
};

int event_queue_init(struct event_queue *q, const struct clock *clock); // -errno
void event_queue_fini(
	struct event_queue *q); // also of one that event_queue_init refused, or that is zero but for fd = -1
void event_queue_post(struct event_queue *q, struct dp_event event); // any thread
void event_queue_wake(struct event_queue *q); // any thread: there is something for the control thread elsewhere
// Control thread. clear: what is posted from here on wakes it again.
bool event_queue_next(struct event_queue *q, struct dp_event *ret_event);
void event_queue_clear(struct event_queue *q);
