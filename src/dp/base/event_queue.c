#include "event_queue.h"

#include <rte_errno.h>
#include <rte_ring_elem.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SIZE 1024

int
event_queue_init(struct event_queue *q, const struct clock *clock)
{
	q->clock = clock;
	q->ring = rte_ring_create_elem("rtvs_events", sizeof(struct dp_event), SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	if (!q->ring)
		return -rte_errno;
	q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return q->fd < 0 ? -errno : 0;
}

void
event_queue_fini(struct event_queue *q)
{
	rte_ring_free(q->ring);
	if (q->fd >= 0)
		close(q->fd);
}

void
event_queue_post(struct event_queue *q, struct dp_event event)
{
	event.time_ns = clock_realtime_ns(q->clock, clock_now_ns(q->clock));
	if (rte_ring_mp_enqueue_elem(q->ring, &event, sizeof(event)))
		atomic_fetch_add(&q->lost, 1);
	event_queue_wake(q);
}

void
event_queue_wake(struct event_queue *q)
{
	(void)eventfd_write(q->fd, 1);
}

bool
event_queue_next(struct event_queue *q, struct dp_event *ret_event)
{
	return !rte_ring_sc_dequeue_elem(q->ring, ret_event, sizeof(*ret_event));
}

void
event_queue_clear(struct event_queue *q)
{
	eventfd_t ignored;

	(void)eventfd_read(q->fd, &ignored);
}
