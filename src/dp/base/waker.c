#include "waker.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
waker_init(struct waker *waker)
{
	waker->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return waker->fd < 0 ? -errno : 0;
}

void
waker_fini(struct waker *waker)
{
	if (waker->fd >= 0)
		close(waker->fd);
	waker->fd = -1;
}

void
waker_wake(struct waker *waker)
{
	// Pairs with the fence of waker_sleep: either this thread sees the sleeper, or the sleeper
	// sees the work.
	atomic_thread_fence(memory_order_seq_cst);
	if (waker_is_asleep(waker) && atomic_exchange(&waker->is_sleeping, false))
		(void)eventfd_write(waker->fd, 1);
}

void
waker_sleep(struct waker *waker)
{
	atomic_store_explicit(&waker->is_sleeping, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

void
waker_awake(struct waker *waker)
{
	atomic_store_explicit(&waker->is_sleeping, false, memory_order_relaxed);
}

void
waker_clear(struct waker *waker)
{
	eventfd_t ignored;

	(void)eventfd_read(waker->fd, &ignored);
}
