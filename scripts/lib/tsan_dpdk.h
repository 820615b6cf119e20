// Included ahead of every file that is built with ThreadSanitizer, for orders of memory that x86
// has and C11 has not. Here DPDK (24.11) reads with acquire; everything else is checked as it is.
//
// A producer of a ring waits until those before it have published, and reads their tail relaxed.
// Whoever frees a buffer reads its reference count relaxed, and owns it where that is 1: another
// thread that had the buffer, too, has just decremented the count.
#pragma once

#if __has_include(<rte_pause.h>)
#include <rte_pause.h>
#define rte_wait_until_equal_32(addr, expected, order) rte_wait_until_equal_32(addr, expected, rte_memory_order_acquire)
#endif
#if __has_include(<rte_mbuf.h>)
#include <rte_stdatomic.h>
#pragma push_macro("rte_atomic_load_explicit")
#undef rte_atomic_load_explicit
#define rte_atomic_load_explicit(ptr, order) __atomic_load_n(ptr, __ATOMIC_ACQUIRE)
#include <rte_mbuf.h>
#pragma pop_macro("rte_atomic_load_explicit")
#endif
