// The accesses to words that nodes share. Each is one step: the tests' builds (SEGMENT_STEPS) stop
// before any of them, to try another node's steps in between, or to end the node there. No other
// code touches shared words; their owner copies the bytes of frames freely.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef SEGMENT_STEPS
void segment_step(void); // the test's
#define SHARED_STEP() segment_step()
#else
#define SHARED_STEP() ((void)0)
#endif

// The line will be written: it is fetched as this CPU's own. (The compiler's prefetch for writing
// fetches it as shared on plain x86-64.)
static inline void
shared_prefetch_write(const void *line)
{
#if defined(__x86_64__)
	__asm__("prefetchw %0" : : "m"(*(const char *)line));
#else
	__builtin_prefetch(line, 1);
#endif
}

static inline uint64_t
shared_load(const _Atomic uint64_t *word)
{
	SHARED_STEP();
	return atomic_load_explicit(word, memory_order_acquire);
}

// After a change of our own that others look for, as in Dekker's algorithm.
static inline uint64_t
shared_load_ordered(const _Atomic uint64_t *word)
{
	SHARED_STEP();
	return atomic_load_explicit(word, memory_order_seq_cst);
}

static inline void
shared_store(_Atomic uint64_t *word, uint64_t value)
{
	SHARED_STEP();
	atomic_store_explicit(word, value, memory_order_release);
}

static inline bool
shared_cas(_Atomic uint64_t *word, uint64_t seen, uint64_t value)
{
	SHARED_STEP();
	return atomic_compare_exchange_strong_explicit(word, &seen, value, memory_order_seq_cst, memory_order_acquire);
}

static inline uint64_t
shared_set(_Atomic uint64_t *word, uint64_t bits)
{
	SHARED_STEP();
	return atomic_fetch_or_explicit(word, bits, memory_order_seq_cst);
}

static inline uint64_t
shared_clear(_Atomic uint64_t *word, uint64_t bits)
{
	SHARED_STEP();
	return atomic_fetch_and_explicit(word, ~bits, memory_order_seq_cst);
}

// Counters, with one writer.
static inline void
shared_count(_Atomic uint64_t *word, uint64_t n)
{
	atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}
