// A guest waits for its network after every restart until its port is connected. An inotify watch
// of the socket's directory reports the file's creation. A timer repeats refused attempts (the file
// exists, its listener not yet, or no longer): RETRY_MIN_NS doubling to RETRY_MAX_NS. Where the
// directory itself is missing, housekeeping tries once a second. Bounded by DP_MAX_PORTS entries.
#include "connector.h"

#include "dp_state.h"

#include <errno.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define RETRY_MIN_NS 2000000
#define RETRY_MAX_NS 500000000
// A connection that ends sooner is a refused attempt: its other end may hang up again and again.
#define STEADY_NS 1000000000

struct target {
	struct port *port; // NULL: free
	connector_try_fn *try_cb;
	char dir[RTVS_PATH_SIZE];
	int watch; // -1: the directory is not watched
	uint64_t retry_ns; // 0: waits for the file
	uint64_t due_ns;
	uint64_t connected_ns; // when the last attempt succeeded
	_Atomic bool is_connected; // cleared by any thread
	_Atomic bool is_lost; // likewise set
};

struct connector {
	const struct clock *clock;
	int epoll_fd, inotify_fd, timer_fd, wake_fd;
	unsigned n_ids; // all that were ever used are below
	struct target target[DP_MAX_PORTS];
};

int
connector_create(const struct clock *clock, struct connector **ret_connector)
{
	struct connector *c = calloc(1, sizeof(*c));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!c)
		return -ENOMEM;
	c->clock = clock;
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->epoll_fd < 0 || c->inotify_fd < 0 || c->timer_fd < 0 || c->wake_fd < 0 ||
		epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->inotify_fd, &ev) ||
		epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->timer_fd, &ev) ||
		epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->wake_fd, &ev)) {
		int rc = -errno;

		connector_destroy(c);
		return rc;
	}
	*ret_connector = c;
	return 0;
}

void
connector_destroy(struct connector *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < 4; i++) {
		int fd = ((int[]){c->epoll_fd, c->inotify_fd, c->timer_fd, c->wake_fd})[i];

		if (fd >= 0)
			close(fd);
	}
	free(c);
}

int
connector_fd(const struct connector *c)
{
	return c->epoll_fd;
}

static void
arm_timer(struct connector *c)
{
	uint64_t now = clock_now_ns(c->clock), next = UINT64_MAX;
	struct itimerspec spec = {0};

	for (unsigned i = 0; i < c->n_ids; i++) {
		const struct target *t = &c->target[i];

		if (t->port && !atomic_load(&t->is_connected) && t->retry_ns && t->due_ns < next)
			next = t->due_ns;
	}
	if (next != UINT64_MAX) {
		uint64_t wait = next > now ? next - now : 1;

		spec.it_value.tv_sec = (time_t)(wait / 1000000000);
		spec.it_value.tv_nsec = (long)(wait % 1000000000);
	}
	(void)timerfd_settime(c->timer_fd, 0, &spec, NULL);
}

static void
watch_dir(struct connector *c, struct target *t)
{
	if (t->watch < 0)
		t->watch = inotify_add_watch(c->inotify_fd, t->dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR);
}

static void
wait_longer(struct connector *c, struct target *t)
{
	t->retry_ns = t->retry_ns ? RTE_MIN(t->retry_ns * 2, (uint64_t)RETRY_MAX_NS) : RETRY_MIN_NS;
	t->due_ns = clock_now_ns(c->clock) + t->retry_ns;
}

static void
attempt(struct connector *c, struct target *t)
{
	int rc;

	watch_dir(c, t); // before the attempt: a file that appears in between is not missed
	rc = t->try_cb(t->port);
	if (!rc) {
		t->connected_ns = clock_now_ns(c->clock);
		return;
	}
	atomic_store(&t->is_connected, false);
	if (rc == -ENOENT && t->watch >= 0) {
		t->retry_ns = 0;
		return;
	}
	wait_longer(c, t);
}

// Of lost connections the steady ones are attempted at once.
static void
note_lost(struct connector *c)
{
	uint64_t now = clock_now_ns(c->clock);

	for (unsigned i = 0; i < c->n_ids; i++) {
		struct target *t = &c->target[i];

		if (!atomic_exchange(&t->is_lost, false) || !t->port)
			continue;
		if (now - t->connected_ns < STEADY_NS) {
			wait_longer(c, t);
			continue;
		}
		t->retry_ns = RETRY_MIN_NS;
		t->due_ns = now;
	}
}

// Makes the due attempts: all that wait for a file when a watch fired, those whose timer is over
// otherwise.
static void
attempt_all(struct connector *c, bool is_file_event)
{
	uint64_t now = clock_now_ns(c->clock);

	for (unsigned i = 0; i < c->n_ids; i++) {
		struct target *t = &c->target[i];

		if (!t->port || atomic_load(&t->is_connected))
			continue;
		if (is_file_event)
			t->retry_ns = 0;
		if (is_file_event || (t->retry_ns && t->due_ns <= now)) {
			// a loss during the attempt must not be overwritten
			atomic_store(&t->is_connected, true);
			attempt(c, t);
		}
	}
	arm_timer(c);
}

static bool
drain_inotify(struct connector *c)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool any = false;

	for (unsigned i = 0; i < 16; i++) { // a busy directory gets its next turn
		ssize_t n = read(c->inotify_fd, buf, sizeof(buf));

		if (n <= 0)
			break;
		any = true;
		for (ssize_t at = 0; at < n;) {
			struct inotify_event ev;

			memcpy(&ev, buf + at, sizeof(ev));
			if (ev.mask & IN_IGNORED) // the directory went away
				for (unsigned k = 0; k < c->n_ids; k++)
					if (c->target[k].port && c->target[k].watch == ev.wd)
						c->target[k].watch = -1;
			at += (ssize_t)(sizeof(ev) + ev.len);
		}
	}
	return any;
}

void
connector_run(struct connector *c)
{
	bool is_file_event = drain_inotify(c);
	uint64_t expirations;
	eventfd_t ignored;

	(void)!read(c->timer_fd, &expirations, sizeof(expirations));
	if (!eventfd_read(c->wake_fd, &ignored))
		note_lost(c);
	attempt_all(c, is_file_event);
}

void
connector_housekeeping(struct connector *c)
{
	attempt_all(c, true);
}

int
connector_add(struct connector *c, struct port *port, const char *path, connector_try_fn *try_cb)
{
	struct target *t = &c->target[port->path.id];
	char copy[RTVS_PATH_SIZE];

	if (t->port)
		return -EEXIST;
	c->n_ids = RTE_MAX(c->n_ids, port->path.id + 1u);
	snprintf(copy, sizeof(copy), "%s", path);
	snprintf(t->dir, sizeof(t->dir), "%s", dirname(copy));
	t->port = port;
	t->try_cb = try_cb;
	t->watch = -1;
	t->retry_ns = 0;
	atomic_store(&t->is_lost, false);
	atomic_store(&t->is_connected, true);
	attempt(c, t);
	arm_timer(c);
	return 0;
}

void
connector_del(struct connector *c, const struct port *port)
{
	struct target *t = &c->target[port->path.id];
	bool is_shared = false;

	if (t->port != port)
		return;
	t->port = NULL;
	for (unsigned i = 0; i < c->n_ids; i++)
		is_shared |= c->target[i].port && c->target[i].watch == t->watch;
	if (t->watch >= 0 && !is_shared)
		(void)inotify_rm_watch(c->inotify_fd, t->watch);
	arm_timer(c);
}

void
connector_lost(struct connector *c, const struct port *port)
{
	atomic_store(&c->target[port->path.id].is_lost, true);
	atomic_store(&c->target[port->path.id].is_connected, false);
	(void)eventfd_write(c->wake_fd, 1);
}
