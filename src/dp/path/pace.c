#include "pace.h"

#include <rte_cycles.h>

// A step that takes longer than its work explains is a stall: another thread had the core. The
// allowances for packets and copied bytes are generous estimates, so that work is not taken for a
// stall.
#define STALL_MIN_NS 10000
#define STALL_NS_PER_PKT 1000
#define STALL_BYTES_PER_NS 2
#define STALL_LOG_NS 50000
#define STALL_EVENT_NS 10000000
// A worker that sleeps longer than it asked to did not get its core: whatever woke it, packets may
// have waited since then. The kernel takes 50 us of timer slack, and the core some time to wake.
#define WAKE_LATE_NS 150000

static void
note_stall(struct worker *w, uint64_t took_ns, uint64_t now_ns)
{
	struct worker_stall_log *log = &w->stall_log;
	uint64_t n = atomic_load_explicit(&log->n, memory_order_relaxed);

	hist_add(&w->stats.stalls, took_ns);
	if (took_ns >= STALL_LOG_NS) {
		// Readers look at n after the entry, and take none that may be overwritten by then.
		atomic_store_explicit(&log->end_ns[n % DP_STALLS_KEPT], now_ns, memory_order_relaxed);
		atomic_store_explicit(&log->took_ns[n % DP_STALLS_KEPT], took_ns, memory_order_relaxed);
		atomic_store_explicit(&log->n, n + 1, memory_order_release);
	}
	if (took_ns >= STALL_EVENT_NS)
		event_queue_post(&w->env->events,
			(struct dp_event){
				.type = DP_EVENT_STALL, .port = DP_MAX_PORTS, .worker = w->index, .value = took_ns});
}

static uint64_t
work_ns(const struct worker_step *step)
{
	return step->n_pkts * (uint64_t)STALL_NS_PER_PKT + step->bytes / STALL_BYTES_PER_NS;
}

void
pace_tick(struct worker *w)
{
	struct worker_step *step = &w->step;
	uint64_t tsc = rte_rdtsc(), took_ns = clock_tsc_to_ns(&w->env->clock, tsc - step->tsc);
	bool is_stall = took_ns >= STALL_MIN_NS + work_ns(step);

	*step = (struct worker_step){.tsc = tsc};
	w->now_ns = clock_tsc_to_ns(&w->env->clock, tsc);
	if (unlikely(is_stall))
		note_stall(w, took_ns, w->now_ns);
}

void
pace_wake(struct worker *w, uint64_t slept_ns)
{
	uint64_t tsc = rte_rdtsc(), took_ns = clock_tsc_to_ns(&w->env->clock, tsc - w->step.tsc);
	bool is_stall = took_ns > slept_ns + WAKE_LATE_NS + work_ns(&w->step);

	w->step = (struct worker_step){.tsc = tsc};
	w->now_ns = clock_tsc_to_ns(&w->env->clock, tsc);
	if (unlikely(is_stall))
		note_stall(w, took_ns - slept_ns, w->now_ns);
}
