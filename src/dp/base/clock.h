// The datapath's time: the TSC in ns, monotonic, cheap to read; and the distance of the kernel's
// clocks from it.
#pragma once

#include <rte_cycles.h>

#include <stdatomic.h>
#include <stdint.h>

struct clock {
	uint64_t tsc_hz, tsc_mult; // ns = tsc * tsc_mult >> 32
	int64_t realtime_offset_ns; // CLOCK_REALTIME - this clock
	_Atomic int64_t tai_offset_ns; // TAI - this clock. Control thread: wo, all: ro
};

// The TSC and CLOCK_MONOTONIC at one time.
struct clock_pair {
	uint64_t tsc, ns;
};

struct clock_pair clock_read_pair(void);
// begin: read before EAL started, which takes long enough for the kernel's clock to give the TSC's
// frequency.
void clock_start(struct clock *clock, struct clock_pair begin);
// control thread, now and then: the kernel's TAI may step
void clock_follow_tai(struct clock *clock);

static inline uint64_t
clock_tsc_to_ns(const struct clock *clock, uint64_t tsc)
{
	return (uint64_t)((unsigned __int128)tsc * clock->tsc_mult >> 32);
}

static inline uint64_t
clock_now_ns(const struct clock *clock)
{
	return clock_tsc_to_ns(clock, rte_rdtsc());
}

// The same time on the other clocks, ns since 1970.
static inline uint64_t
clock_realtime_ns(const struct clock *clock, uint64_t ns)
{
	return (uint64_t)((int64_t)ns + clock->realtime_offset_ns);
}

static inline uint64_t
clock_tai_ns(const struct clock *clock, uint64_t ns)
{
	return (uint64_t)((int64_t)ns + atomic_load_explicit(&clock->tai_offset_ns, memory_order_relaxed));
}
