// A worker's clock, and the absences of the worker's core: a step that takes longer than its work
// explains is a stall.
#pragma once

#include "worker.h"

// Received, forwarded or sent.
static inline void
pace_work(struct worker *w, unsigned n_pkts, uint64_t bytes)
{
	w->step.n_pkts += n_pkts;
	w->step.bytes += bytes;
}

// Reads the clock, between bursts: now_ns, and whether the core was away since.
void pace_tick(struct worker *w);
// Likewise after a sleep: slept_ns of the time since then were asked for.
void pace_wake(struct worker *w, uint64_t slept_ns);
