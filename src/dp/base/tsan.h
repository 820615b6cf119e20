// Orders that ThreadSanitizer cannot see, because they come from fences or from DPDK's libraries,
// which it does not instrument. Writes before tsan_release(x) are visible to a thread that calls
// tsan_acquire(x) after. Nothing in other builds.
#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RTVS_TSAN
#endif
#endif

#ifdef RTVS_TSAN
void __tsan_acquire(void *object);
void __tsan_release(void *object);
ssize_t __interceptor_read(int fd, void *buf, size_t size);
int __interceptor_close(int fd);
#endif

// read of the C library, for callers that have a function of that name: the checker's own knows
// which write came before.
static inline ssize_t
tsan_read(int fd, void *buf, size_t size)
{
#ifdef RTVS_TSAN
	return __interceptor_read(fd, buf, size);
#else
	return syscall(SYS_read, fd, buf, size);
#endif
}

// Likewise close: else the checker takes the next descriptor of that number for the same one.
static inline int
tsan_close(int fd)
{
#ifdef RTVS_TSAN
	return __interceptor_close(fd);
#else
	return (int)syscall(SYS_close, fd);
#endif
}

static inline void
tsan_acquire(void *object)
{
#ifdef RTVS_TSAN
	__tsan_acquire(object);
#else
	(void)object;
#endif
}

static inline void
tsan_release(void *object)
{
#ifdef RTVS_TSAN
	__tsan_release(object);
#else
	(void)object;
#endif
}
