// The threads of one guest's QEMU: which of them are virtual processors, and when each slept,
// waited for a CPU and ran. Fed with events in any order, asked about times. Times are ns on one
// clock and may wrap; all of them lie within half of it.
#pragma once

#include "event.h"

#include <stdbool.h>
#include <stdint.h>

#define THREADS_MAX 1024 // of one guest; others are not followed
#define THREADS_KEPT 32768 // events of one thread; older ones are forgotten

enum threads_state {
	THREADS_UNKNOWN,
	THREADS_ASLEEP,
	THREADS_WAITING, // for a CPU
	THREADS_RUNNING,
};

// A thread that was woken, by whom, and when it ran then.
struct threads_wake {
	uint64_t at_ns, in_ns;
	uint32_t waker_tid, waker_tgid;
};

struct thread;
struct threads;

static inline bool
threads_is_before(uint64_t a_ns, uint64_t b_ns)
{
	return (int64_t)(a_ns - b_ns) < 0;
}

// tgid: of the process, and of its first thread, the main loop. NULL: out of memory.
struct threads *threads_create(uint32_t tgid);
void threads_destroy(struct threads *t);

// A thread and its state now, as /proc shows it. -ENOSPC: more than THREADS_MAX; -ENOMEM
int threads_add(struct threads *t, uint32_t tid, const char *comm, enum threads_state state);
// -ENOSPC, -ENOMEM; -ESTALE: older than what was forgotten; -EINVAL: it is another process's
int threads_event(struct threads *t, const struct event *e);
// Events between these times are missing: nothing is known then.
void threads_lost(struct threads *t, uint64_t from_ns, uint64_t to_ns);
bool threads_is_lost(const struct threads *t, uint64_t from_ns, uint64_t to_ns);

// The virtual processors: "CPU n/KVM" or "CPU n/TCG" (QEMU's debug-threads=on), else all but the
// first thread. NULL: no more. *cursor starts at 0.
const struct thread *threads_next_cpu(const struct threads *t, unsigned *cursor);
const struct thread *threads_main(const struct threads *t); // NULL: it was not seen
bool threads_is_cpu(const struct threads *t, uint32_t tid);
uint32_t threads_tgid(const struct threads *t);

// Of one thread at a time, after the events of that very moment.
enum threads_state threads_state_at(const struct thread *thread, uint64_t at_ns);
// The first time after from_ns, up to to_ns, that it was woken out of its sleep. in_ns: when it got
// a CPU then; where that is not up to end_ns, end_ns. false: it was not.
bool threads_wake_after(
	const struct thread *thread, uint64_t from_ns, uint64_t to_ns, uint64_t end_ns, struct threads_wake *ret_wake);
// When it first got a CPU after from_ns, up to to_ns.
bool threads_in_after(const struct thread *thread, uint64_t from_ns, uint64_t to_ns, uint64_t *ret_ns);
