// What a worker does not poll. A queue that is empty for long leaves the round (rtvs/poll_set.h):
// its far side is asked for a wake-up, and a look at all wake-ups costs one system call each
// POLL_LOOK_NS, however many queues are idle. The adaptive idle policy: a worker that found nothing
// for a while asks the queues of the round, too, and sleeps. Nothing is lost on the way: queues are
// asked first, polled once more, and only then the queue is left alone, or the worker waits
// (base/waker.h). Queues whose driver gives no wake-up are looked at, and poll a sleeping worker,
// every POLL_NS. A view or a descriptor that changes puts all queues back into the round.
#include "idle.h"

#include "io/guest_io.h"
#include "pace.h"
#include "schedule.h"
#include "worker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 500000 // 2,000 wake-ups a second
// Times that queues are polled like that after a wake-up: net_tap shows its packet when a signal
// was handled.
#define N_LOOKS 20
#define SLEEP_MIN_NS 50000 // a sleep that is shorter costs more than it saves
// The longest chain of packet buffers, which a port of a segment makes, and a burst.
#define ENOUGH_BUFFERS 64
#define N_EVENTS 16 // wake-ups of a look; the next look sees those that are left
#define SLEEP_MAX_NS 100000000 // without anything to wait for: the loop shows that it is alive

// Asks the queue for a wake-up. True: it will come, or another message of the queue's far side
// will. Else the queue must be looked at.
static bool
arm(struct worker *w, const struct view *view, struct poll_queue *q)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = q};
	struct device *device = &view_port(view, q->port)->port->device;
	int fd = device->io->arm(device, q->queue, true), rc = 0;

	if (fd == -2)
		return true;
	if (fd >= 0 && !q->is_watched)
		rc = epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
	q->is_watched = fd >= 0 && !rc;
	// A descriptor that is another queue's, too, wakes the worker, but tells of the other
	// queue.
	if (!q->is_watched && rc != -EEXIST)
		w->has_polled_queues = true;
	return q->is_watched;
}

static void
disarm(const struct view *view, const struct poll_queue *q)
{
	struct port_path *port = view_port(view, q->port)->port;

	if (port && port->device.io) // else it is gone, or its number is another's by now
		(void)port->device.io->arm(&port->device, q->queue, false);
}

// Of a sleeping worker any queue may wake. A guest that kicks though it was told not to has its
// queue polled for longer, no more.
static void
note_wakeups(struct worker *w, const struct view *view, const struct epoll_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		struct poll_queue *q = ev[i].data.ptr; // NULL: the worker's own

		if (!q)
			continue;
		if (q->is_idle)
			disarm(view, q);
		poll_set_wake(&w->polls, q, w->now_ns + POLL_GRACE_NS);
		w->n_looks = N_LOOKS; // the descriptor does not tell again
	}
}

void
idle_apply(struct worker *w, const struct view *view, uint64_t wakeup_gen)
{
	const struct view_worker *mine = view->worker[w->index];
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

	for (uint32_t i = 0; i < w->polls.n; i++)
		if (w->polls.queue[i].is_idle)
			disarm(view, &w->polls.queue[i]);
	poll_set_init(&w->polls, w->polls.queue, w->now_ns);
	for (uint16_t i = 0; i < mine->n_rxq; i++) {
		const struct view_port *vp = view_port(view, mine->rxq[i].port);
		const struct device *device = &vp->port->device;

		poll_set_add(&w->polls, mine->rxq[i].port, mine->rxq[i].queue, vp->sender.deadline_ns, w->now_ns);
		w->polls.queue[i].guest = device->io == &guest_io_ops ? device->priv : NULL;
	}
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->waker.fd, &ev);
	w->has_polled_queues = false;
	w->round_gen = view->gen;
	w->wakeup_gen = wakeup_gen;
}

static bool
has_buffers(struct worker *w)
{
	void *buffer[ENOUGH_BUFFERS];

	if (rte_mempool_get_bulk(w->pool, buffer, ENOUGH_BUFFERS))
		return false;
	rte_mempool_put_bulk(w->pool, buffer, ENOUGH_BUFFERS);
	return true;
}

static bool
has_something(const struct worker *w, const struct poll_queue *q)
{
	return q->awake_until_ns > w->now_ns;
}

unsigned
idle_look(struct worker *w, const struct view *view, poll_fn *poll)
{
	struct epoll_event ev[N_EVENTS];
	struct poll_queue *q;
	unsigned n = 0;

	poll_set_look(&w->polls, w->now_ns);
	while ((q = poll_set_next(&w->polls))) {
		n += poll(w, view, q);
		if (has_something(w, q)) {
			poll_set_wake(&w->polls, q, q->awake_until_ns);
			disarm(view, q);
		}
	}
	if (w->polls.n_idle)
		note_wakeups(w, view, ev, epoll_wait(w->epoll_fd, ev, N_EVENTS, 0));
	q = poll_set_tired(&w->polls, w->now_ns);
	// Without buffers it may have packets, of which its far side does not tell again.
	if (q && has_buffers(w)) {
		bool has_wakeup = arm(w, view, q);

		// Either this sees what the far side put, or the far side sees that it is asked for
		// a wake-up.
		atomic_thread_fence(memory_order_seq_cst);
		n += poll(w, view, q);
		if (has_something(w, q))
			disarm(view, q);
		else
			poll_set_sleep(&w->polls, q, has_wakeup);
	}
	return n;
}

// True: something woke it. ret_slept_ns: of the time that it asked for.
static bool
wait_for_work(struct worker *w, const struct view *view, struct epoll_event *ev, int *ret_n, uint64_t *ret_slept_ns)
{
	struct timespec ts = {.tv_nsec = SLEEP_MAX_NS};
	uint64_t now_ns = clock_now_ns(&w->env->clock), next_ns;
	int n;

	// Packets that found no buffer wait in their queues, which have reported them and do not do
	// so again.
	if (unlikely(!has_buffers(w)))
		w->n_looks = N_LOOKS;
	if (w->has_polled_queues || w->is_holding || w->n_looks)
		ts.tv_nsec = POLL_NS;
	if (schedule_next_ns(w, view, &next_ns)) {
		if (next_ns <= now_ns + SLEEP_MIN_NS)
			return true;
		ts.tv_nsec = (long)RTE_MIN((uint64_t)ts.tv_nsec, next_ns - now_ns);
	}
	rcu_pause(&w->env->rcu, w->index);
	n = epoll_pwait2(w->epoll_fd, ev, N_EVENTS, &ts, NULL);
	if (n < 0 && errno == ENOSYS) {
		ts.tv_nsec += 1000000 - ts.tv_nsec % 1000000;
		n = epoll_wait(w->epoll_fd, ev, N_EVENTS, (int)(ts.tv_nsec / 1000000));
	}
	*ret_slept_ns = RTE_MIN((uint64_t)ts.tv_nsec, clock_now_ns(&w->env->clock) - now_ns);
	waker_clear(&w->waker);
	rcu_resume(&w->env->rcu, w->index);
	counters_add(&w->stats.sleeps, 1);
	// Descriptors report once. The reason for a wake-up may show later than the worker stays
	// awake: by a thread that has no core yet.
	if (n > 0)
		w->n_looks = N_LOOKS;
	else if (w->n_looks)
		w->n_looks--;
	*ret_n = n;
	return n > 0;
}

bool
idle_sleep(struct worker *w, const struct view *view, poll_once_fn *poll)
{
	struct poll_queue *q = w->polls.round.first;
	struct epoll_event ev[N_EVENTS];
	uint64_t slept_ns = 0;
	bool found;
	int n = 0;

	if (w->epoll_fd < 0)
		return false;
	pace_work(w, w->polls.round.n, 0); // as much as so many packets: some take a system call
	for (uint32_t i = 0; i < w->polls.round.n; i++, q = q->next)
		(void)arm(w, view, q);
	waker_sleep(&w->waker);
	found = poll(w, view);
	if (!found && atomic_load(&w->env->view) == view && atomic_load(&w->env->wakeup_gen) == w->wakeup_gen &&
		!atomic_load(&w->env->stop) && atomic_load(&w->snap_wanted) == atomic_load(&w->snap_done))
		// A device may show its packet a little later than it wakes (net_tap's signal).
		found = wait_for_work(w, view, ev, &n, &slept_ns);
	waker_awake(&w->waker);
	// The view may have been freed while this worker was offline: take the one of the moment.
	view = atomic_load_explicit(&w->env->view, memory_order_acquire);
	q = w->polls.round.first;
	pace_work(w, w->polls.round.n, 0);
	for (uint32_t i = 0; i < w->polls.round.n; i++, q = q->next)
		disarm(view, q);
	pace_wake(w, slept_ns); // wake-ups count from here
	note_wakeups(w, view, ev, n);
	return found;
}
