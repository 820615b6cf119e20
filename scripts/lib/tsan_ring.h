// Included ahead of every file that is built with ThreadSanitizer. A producer of a DPDK ring waits
// until those before it have published, and reads their tail relaxed (DPDK 24.11): x86 orders what
// they wrote before what it publishes, C11 does not. Here it reads with acquire, and everything
// else is checked as it is.
#pragma once

#if __has_include(<rte_pause.h>)
#include <rte_pause.h>
#define rte_wait_until_equal_32(addr, expected, order) rte_wait_until_equal_32(addr, expected, rte_memory_order_acquire)
#endif
