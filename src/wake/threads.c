// One list of events for each thread, sorted by time. New events are nearly sorted already, so they
// are inserted from the end. The state at a time follows from the last event before it; before the
// first one, from the state that the first one ends. A look-up is a binary search and a step or
// two. A list grows up to THREADS_KEPT and then forgets its older half.
#include "threads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256u
#define MAX_GAPS 64u // times of lost events that are remembered

struct entry {
	uint64_t ts_ns;
	uint32_t waker_tid, waker_tgid;
	uint8_t type;
};

struct thread {
	uint32_t tid;
	bool is_named_cpu, has_forgotten;
	enum threads_state first_state; // before the first event
	uint64_t known_from_ns; // of has_forgotten
	struct entry *entries;
	unsigned n, capacity;
};

struct gap {
	uint64_t from_ns, to_ns;
};

struct threads {
	uint32_t tgid;
	bool has_named_cpus;
	unsigned n;
	struct thread *list[THREADS_MAX];
	struct gap gaps[MAX_GAPS];
	uint64_t n_gaps;
};

struct threads *
threads_create(uint32_t tgid)
{
	struct threads *t = calloc(1, sizeof(*t));

	if (t)
		t->tgid = tgid;
	return t;
}

void
threads_destroy(struct threads *t)
{
	for (unsigned i = 0; t && i < t->n; i++) {
		free(t->list[i]->entries);
		free(t->list[i]);
	}
	free(t);
}

static struct thread *
find(const struct threads *t, uint32_t tid)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->list[i]->tid == tid)
			return t->list[i];
	return NULL;
}

// "CPU 3/KVM"; "ALL CPUs/TCG" where one thread emulates all.
static bool
is_cpu_name(const char *comm)
{
	unsigned number;
	int end = 0;

	if (!strncmp(comm, "ALL CPUs/", 9))
		return true;
	return sscanf(comm, "CPU %u/%n", &number, &end) == 1 && end > 0;
}

static void
name_thread(struct threads *t, struct thread *thread, const char *comm)
{
	if (thread->is_named_cpu || !is_cpu_name(comm))
		return;
	thread->is_named_cpu = true;
	t->has_named_cpus = true;
}

static int
find_or_add(struct threads *t, uint32_t tid, const char *comm, struct thread **ret_thread)
{
	struct thread *thread = find(t, tid);

	if (!thread) {
		if (t->n == THREADS_MAX)
			return -ENOSPC;
		thread = calloc(1, sizeof(*thread));
		if (!thread)
			return -ENOMEM;
		thread->tid = tid;
		t->list[t->n++] = thread;
	}
	name_thread(t, thread, comm);
	*ret_thread = thread;
	return 0;
}

int
threads_add(struct threads *t, uint32_t tid, const char *comm, enum threads_state state)
{
	struct thread *thread;
	int rc = find_or_add(t, tid, comm, &thread);

	if (!rc && !thread->n && !thread->has_forgotten)
		thread->first_state = state;
	return rc;
}

static enum threads_state
state_before(const struct entry *e)
{
	static const enum threads_state before[EVENT_COUNT] = {
		[EVENT_WAKING] = THREADS_ASLEEP,
		[EVENT_IN] = THREADS_WAITING,
		[EVENT_OUT] = THREADS_RUNNING,
		[EVENT_PREEMPTED] = THREADS_RUNNING,
	};

	return before[e->type];
}

// After entry i. To be woken while still on the way to sleep changes nothing.
static enum threads_state
state_after(const struct thread *thread, unsigned i)
{
	switch (thread->entries[i].type) {
	case EVENT_IN:
		return THREADS_RUNNING;
	case EVENT_OUT:
		return THREADS_ASLEEP;
	case EVENT_PREEMPTED:
		return THREADS_WAITING;
	default:
		while (i && thread->entries[i].type == EVENT_WAKING)
			i--;
		return thread->entries[i].type == EVENT_IN ? THREADS_RUNNING : THREADS_WAITING;
	}
}

static int
make_room(struct thread *thread)
{
	struct entry *bigger;

	if (thread->n < thread->capacity)
		return 0;
	if (thread->capacity >= THREADS_KEPT) {
		unsigned half = thread->n / 2;

		thread->first_state = state_after(thread, half - 1);
		thread->known_from_ns = thread->entries[half - 1].ts_ns;
		thread->has_forgotten = true;
		thread->n -= half;
		memmove(thread->entries, thread->entries + half, thread->n * sizeof(*thread->entries));
		return 0;
	}
	bigger = realloc(
		thread->entries, (thread->capacity ? thread->capacity * 2 : FIRST_CAPACITY) * sizeof(*thread->entries));
	if (!bigger)
		return -ENOMEM;
	thread->capacity = thread->capacity ? thread->capacity * 2 : FIRST_CAPACITY;
	thread->entries = bigger;
	return 0;
}

int
threads_event(struct threads *t, const struct event *e)
{
	char comm[EVENT_COMM_SIZE + 1] = {0};
	struct thread *thread;
	unsigned at;
	int rc;

	if (e->tgid != t->tgid || e->type >= EVENT_COUNT)
		return -EINVAL;
	memcpy(comm, e->comm, EVENT_COMM_SIZE);
	rc = find_or_add(t, e->tid, comm, &thread);
	if (rc)
		return rc;
	if (thread->has_forgotten && threads_is_before(e->ts_ns, thread->known_from_ns))
		return -ESTALE;
	rc = make_room(thread);
	if (rc)
		return rc;
	for (at = thread->n; at && threads_is_before(e->ts_ns, thread->entries[at - 1].ts_ns); at--)
		thread->entries[at] = thread->entries[at - 1];
	thread->entries[at] = (struct entry){
		.ts_ns = e->ts_ns, .waker_tid = e->waker_tid, .waker_tgid = e->waker_tgid, .type = (uint8_t)e->type};
	thread->n++;
	if (!at && !thread->has_forgotten)
		thread->first_state = state_before(&thread->entries[0]);
	return 0;
}

void
threads_lost(struct threads *t, uint64_t from_ns, uint64_t to_ns)
{
	t->gaps[t->n_gaps++ % MAX_GAPS] = (struct gap){.from_ns = from_ns, .to_ns = to_ns};
}

bool
threads_is_lost(const struct threads *t, uint64_t from_ns, uint64_t to_ns)
{
	for (unsigned i = 0; i < t->n_gaps && i < MAX_GAPS; i++)
		if (!threads_is_before(t->gaps[i].to_ns, from_ns) && !threads_is_before(to_ns, t->gaps[i].from_ns))
			return true;
	return false;
}

static bool
is_cpu(const struct threads *t, const struct thread *thread)
{
	return t->has_named_cpus ? thread->is_named_cpu : thread->tid != t->tgid;
}

const struct thread *
threads_next_cpu(const struct threads *t, unsigned *cursor)
{
	while (*cursor < t->n) {
		const struct thread *thread = t->list[(*cursor)++];

		if (is_cpu(t, thread))
			return thread;
	}
	return NULL;
}

const struct thread *
threads_main(const struct threads *t)
{
	return find(t, t->tgid);
}

bool
threads_is_cpu(const struct threads *t, uint32_t tid)
{
	const struct thread *thread = find(t, tid);

	return thread && is_cpu(t, thread);
}

uint32_t
threads_tgid(const struct threads *t)
{
	return t->tgid;
}

// How many entries are not after at_ns.
static unsigned
count_until(const struct thread *thread, uint64_t at_ns)
{
	unsigned low = 0, high = thread->n;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (threads_is_before(at_ns, thread->entries[middle].ts_ns))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

enum threads_state
threads_state_at(const struct thread *thread, uint64_t at_ns)
{
	unsigned n = count_until(thread, at_ns);

	if (thread->has_forgotten && threads_is_before(at_ns, thread->known_from_ns))
		return THREADS_UNKNOWN;
	return n ? state_after(thread, n - 1) : thread->first_state;
}

bool
threads_in_after(const struct thread *thread, uint64_t from_ns, uint64_t to_ns, uint64_t *ret_ns)
{
	for (unsigned i = count_until(thread, from_ns); i < thread->n; i++) {
		const struct entry *e = &thread->entries[i];

		if (threads_is_before(to_ns, e->ts_ns))
			return false;
		if (e->type == EVENT_IN) {
			*ret_ns = e->ts_ns;
			return true;
		}
	}
	return false;
}

// A thread that gets a CPU without a seen wake-up was woken on its way to sleep.
bool
threads_wake_after(
	const struct thread *thread, uint64_t from_ns, uint64_t to_ns, uint64_t end_ns, struct threads_wake *ret_wake)
{
	enum threads_state state = threads_state_at(thread, from_ns);

	for (unsigned i = count_until(thread, from_ns); i < thread->n; i++) {
		const struct entry *e = &thread->entries[i];

		if (threads_is_before(to_ns, e->ts_ns))
			return false;
		if (state == THREADS_ASLEEP && (e->type == EVENT_WAKING || e->type == EVENT_IN)) {
			*ret_wake = (struct threads_wake){.at_ns = e->ts_ns,
				.in_ns = e->ts_ns,
				.waker_tid = e->waker_tid,
				.waker_tgid = e->waker_tgid};
			if (e->type == EVENT_WAKING && !threads_in_after(thread, e->ts_ns, end_ns, &ret_wake->in_ns))
				ret_wake->in_ns = end_ns;
			return true;
		}
		state = state_after(thread, i);
	}
	return false;
}
