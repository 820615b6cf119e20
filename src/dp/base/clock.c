#include "clock.h"

#include <time.h>

#define READS 16
#define SPAN_MIN_NS 20000000 // below it reading the clocks would cost more than 1 ppm
#define LOOKS 3

static uint64_t
kernel_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

// The pair that was read fastest of a few.
struct clock_pair
clock_read_pair(void)
{
	struct clock_pair best = {0};
	uint64_t fastest = UINT64_MAX;

	for (unsigned i = 0; i < READS; i++) {
		uint64_t before = rte_rdtsc(), ns = kernel_ns(CLOCK_MONOTONIC), after = rte_rdtsc();

		if (after - before >= fastest)
			continue;
		fastest = after - before;
		best = (struct clock_pair){.tsc = before + fastest / 2, .ns = ns};
	}
	return best;
}

// EAL rounds the TSC's frequency to 10 MHz, up to 0.2 % off. EAL takes 100 ms for that, over which
// the kernel's clock gives the frequency to about 1 ppm.
void
clock_start(struct clock *clock, struct clock_pair begin)
{
	struct clock_pair now = clock_read_pair();

	clock->tsc_hz = now.ns - begin.ns < SPAN_MIN_NS ?
		rte_get_tsc_hz() :
		(uint64_t)((unsigned __int128)(now.tsc - begin.tsc) * 1000000000 / (now.ns - begin.ns));
	clock->tsc_mult = (uint64_t)(((unsigned __int128)1000000000 << 32) / clock->tsc_hz);
	clock->realtime_offset_ns = (int64_t)(kernel_ns(CLOCK_REALTIME) - clock_now_ns(clock));
}

// Of several looks at both clocks, the one that nothing came between.
void
clock_follow_tai(struct clock *clock)
{
	uint64_t least_ns = UINT64_MAX;
	int64_t offset_ns = 0;

	for (unsigned i = 0; i < LOOKS; i++) {
		uint64_t before_ns = clock_now_ns(clock), tai_ns = kernel_ns(CLOCK_TAI), after_ns = clock_now_ns(clock);

		if (after_ns - before_ns >= least_ns)
			continue;
		least_ns = after_ns - before_ns;
		offset_ns = (int64_t)(tai_ns - before_ns - least_ns / 2);
	}
	atomic_store(&clock->tai_offset_ns, offset_ns);
}
