// Wakes one thread that sleeps. No wake-up is lost: a producer first enqueues the work, then reads
// `is_sleeping`; the sleeper first sets `is_sleeping`, then looks for work once more.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

struct waker {
	int fd; // eventfd, of which the thread waits; -1: none
	// the thread sets it; the caller that clears it wakes the thread
	_Atomic bool is_sleeping;
};

int waker_init(struct waker *waker); // -errno
void waker_fini(struct waker *waker); // one with fd = -1 is accepted
// any thread. One system call a sleep, however often it is called
void waker_wake(struct waker *waker);
// Its thread. Between both it may wait for fd, which clear makes silent again.
void waker_sleep(struct waker *waker);
void waker_awake(struct waker *waker);
void waker_clear(struct waker *waker);

static inline bool
waker_is_asleep(const struct waker *waker)
{
	return atomic_load_explicit(&waker->is_sleeping, memory_order_relaxed);
}
