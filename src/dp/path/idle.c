// The adaptive idle policy: a worker that found nothing for a while arms its queues for a wake-up
// and sleeps. No packet is missed: queues are armed first, polled once more, and only then the
// worker waits (base/waker.h). Queues whose driver gives no wake-up are polled every POLL_NS
// instead.
#include "idle.h"

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
// A worker that sleeps longer than it asked to did not get its core: whatever woke it, packets may
// have waited since then. The kernel takes 50 us of timer slack, and the core some time to wake.
#define WAKE_LATE_NS 150000
// The longest chain of packet buffers, which a port of a segment makes, and a burst.
#define ENOUGH_BUFFERS 64
#define SLEEP_MAX_NS 100000000 // without anything to wait for: the loop shows that it is alive

static void
watch(struct worker *w, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

	// A queue's descriptor may be shared with another queue (EEXIST) or just have been closed:
	// polled until the next change.
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) && errno != EEXIST)
		w->has_polled_queues = true;
}

// Asks every queue for a wake-up, or no longer. With rebuild the descriptors are collected anew.
static void
ask_queues(struct worker *w, const struct view *view, bool is_on, bool rebuild)
{
	const struct view_worker *mine = view->worker[w->index];

	for (uint16_t i = 0; i < mine->n_rxq; i++) {
		struct port_path *port = view_port(view, mine->rxq[i].port)->port;
		int fd = port->device.io->arm(&port->device, mine->rxq[i].queue, is_on);

		if (!rebuild)
			continue;
		if (fd >= 0)
			watch(w, fd);
		else if (fd == -1)
			w->has_polled_queues = true;
	}
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

// True: something woke it.
static bool
wait_for_work(struct worker *w, const struct view *view)
{
	struct timespec ts = {.tv_nsec = SLEEP_MAX_NS};
	uint64_t now_ns = clock_now_ns(&w->env->clock), next_ns, end_ns;
	struct epoll_event ev[16];
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
	n = epoll_pwait2(w->epoll_fd, ev, 16, &ts, NULL);
	if (n < 0 && errno == ENOSYS) {
		ts.tv_nsec += 1000000 - ts.tv_nsec % 1000000;
		n = epoll_wait(w->epoll_fd, ev, 16, (int)(ts.tv_nsec / 1000000));
	}
	end_ns = now_ns + (uint64_t)ts.tv_nsec;
	now_ns = clock_now_ns(&w->env->clock);
	if (now_ns > end_ns + WAKE_LATE_NS)
		pace_stalled(w, now_ns - end_ns, now_ns);
	waker_clear(&w->waker);
	rcu_resume(&w->env->rcu, w->index);
	counters_add(&w->stats.sleeps, 1);
	// Descriptors report once. The reason for a wake-up may show later than the worker stays
	// awake: by a thread that has no core yet.
	if (n > 0)
		w->n_looks = N_LOOKS;
	else if (w->n_looks)
		w->n_looks--;
	return n > 0;
}

bool
idle_sleep(struct worker *w, const struct view *view, bool (*poll)(struct worker *, const struct view *))
{
	uint64_t gen = atomic_load(&w->env->wakeup_gen);
	bool rebuild = w->epoll_fd < 0 || gen != w->epoll_gen;
	bool found;

	if (rebuild) {
		if (w->epoll_fd >= 0)
			close(w->epoll_fd);
		w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (w->epoll_fd < 0)
			return false;
		w->epoll_gen = gen;
		w->has_polled_queues = false;
		watch(w, w->waker.fd);
	}
	ask_queues(w, view, true, rebuild);
	waker_sleep(&w->waker);
	found = poll(w, view);
	if (!found && atomic_load(&w->env->view) == view && atomic_load(&w->env->wakeup_gen) == gen &&
		!atomic_load(&w->env->stop) && atomic_load(&w->snap_wanted) == atomic_load(&w->snap_done))
		// a device may show its packet a little after the wake-up (net_tap's signal)
		found = wait_for_work(w, view);
	waker_awake(&w->waker);
	// The view may have been freed while this worker was offline: take the one of the moment.
	view = atomic_load_explicit(&w->env->view, memory_order_acquire);
	ask_queues(w, view, false, false);
	return found;
}
