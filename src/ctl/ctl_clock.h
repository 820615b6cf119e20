// The control thread's clock.
#pragma once

#include <stdint.h>

uint64_t ctl_now_ns(void); // CLOCK_MONOTONIC
