// Orders that ThreadSanitizer cannot see, because they come from fences or from DPDK's libraries,
// which it does not instrument. Writes before tsan_release(x) are visible to a thread that calls
// tsan_acquire(x) after. Nothing in other builds.
#pragma once

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RTVS_TSAN
#endif
#endif

#ifdef RTVS_TSAN
void __tsan_acquire(void *object);
void __tsan_release(void *object);
#endif

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
