// The control plane's reading of the time. Functions that decide take the time as an argument.
#include "ctl_clock.h"

#include <time.h>

uint64_t
ctl_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
