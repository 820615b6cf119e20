// The priority of the workers' threads, and the time that other threads get beside them. This file
// knows only threads, not their work.
#pragma once

#include "rtvs/dp.h"

struct priority;

// Gives n threads (1 to DP_MAX_WORKERS) the priority `wanted`, or the next lower one that the
// kernel grants; the result says which. A refusal is logged once, in one line. *ret_p is for
// priority_stop, and NULL unless the result is DP_PRIORITY_FIFO. The control thread calls this: the
// thread that is made here runs on the control thread's CPUs.
enum dp_priority priority_start(const int *tids, unsigned n, enum dp_priority wanted, struct priority **ret_p);
// Call it before the threads end, since the kernel may reuse their numbers. NULL is accepted.
void priority_stop(struct priority *p);
