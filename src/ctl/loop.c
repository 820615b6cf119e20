// The control thread's event loop: a thin layer over epoll. Everything that the control plane waits
// for is a loop_source: clients, listeners, signals, the second's tick, the datapath's events, the
// metrics' HTTP.
// Invariant: a descriptor is in the set exactly as long as its source has fd >= 0.
#include "loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

int
loop_init(struct loop *loop)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll_fd < 0 ? -errno : 0;
}

void
loop_fini(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

int
loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &ev) < 0 ? -errno : 0;
}

void
loop_set(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &ev);
}

void
loop_close(struct loop *loop, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	close(source->fd);
	source->fd = -1;
}

int
loop_turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event ev;
	int n = epoll_wait(loop->epoll_fd, &ev, 1, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n > 0) {
		struct loop_source *source = ev.data.ptr;
		source->on_ready(source, ev.events);
	}
	return 0;
}
