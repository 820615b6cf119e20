// Events of the datapath for the control thread, and the descriptor that wakes it. Events are lost
// when the ring is full, and counted.
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
// also of one that event_queue_init refused, or zero with fd = -1
void event_queue_fini(struct event_queue *q);
void event_queue_post(struct event_queue *q, struct dp_event event); // any thread
// any thread: there is work for the control thread elsewhere
void event_queue_wake(struct event_queue *q);
// Control thread. clear: what is posted from here on wakes it again.
bool event_queue_next(struct event_queue *q, struct dp_event *ret_event);
void event_queue_clear(struct event_queue *q);
