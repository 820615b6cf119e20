// Ten points in time make nine stages. The switch has most points. The guest's side has the ones in
// between: which virtual processor the packet woke, or found awake. A point is never after the next
// one (a kick may take effect before its call returns) nor before the first. So differences are
// never negative and their sum is that of the ends. The time of consumption is the only one that is
// not the event's own. The switch saw it in the ring, and its clock may be of the moment before it
// lost its CPU. So a guest that answered and ran only later consumed when it ran.
#include "stages.h"

#include <string.h>

enum point {
	POINT_ARRIVED,
	POINT_QUEUED,
	POINT_PUT,
	POINT_KICKED,
	POINT_EMULATED,
	POINT_RUNNABLE,
	POINT_RUNNING,
	POINT_CONSUMED,
	POINT_ANSWERED,
	POINT_LEFT,
	POINT_COUNT
};
_Static_assert((int)POINT_COUNT == (int)STAGE_COUNT + 1, "a stage is between two points");

#define STAGES_TEXT(name, text) text,
const char *const stages_names[STAGE_COUNT] = {STAGES(STAGES_TEXT)};
#undef STAGES_TEXT

// How the packet found a virtual processor, the better explanation of its consumption first.
enum found {
	FOUND_KICKED, // asleep, and woken by the switch or by QEMU's other threads
	FOUND_RUNNING,
	FOUND_WAITING, // for a CPU
	FOUND_WOKEN, // asleep, and woken by another thread
	FOUND_NOTHING
};

struct look {
	const struct stages_chain *chain;
	const struct threads *threads;
	uint32_t switch_pid;
	uint64_t kicked_ns, end_ns; // the last time by which the guest must have run
};

struct finding {
	enum found found;
	uint64_t runnable_ns, running_ns;
	bool is_by_emulator;
};

static bool
is_by_emulator(const struct look *l, const struct threads_wake *wake)
{
	return wake->waker_tgid == threads_tgid(l->threads) && !threads_is_cpu(l->threads, wake->waker_tid);
}

static struct finding
find_cpu(const struct look *l, const struct thread *cpu, uint64_t to_ns)
{
	const uint64_t put_ns = l->chain->put_ns;
	enum threads_state state = threads_state_at(cpu, put_ns);
	struct finding f = {.found = FOUND_NOTHING, .runnable_ns = l->kicked_ns, .running_ns = l->kicked_ns};
	struct threads_wake wake;
	bool is_woken = threads_wake_after(cpu, put_ns, to_ns, l->end_ns, &wake);

	if (state == THREADS_UNKNOWN)
		return f;
	if (state == THREADS_RUNNING && (!is_woken || threads_is_before(l->kicked_ns, wake.at_ns))) {
		f.found = FOUND_RUNNING;
	} else if (state == THREADS_WAITING) {
		if (threads_in_after(cpu, put_ns, l->end_ns, &f.running_ns))
			f.found = FOUND_WAITING;
	} else if (is_woken) {
		f.is_by_emulator = is_by_emulator(l, &wake);
		f.found = f.is_by_emulator || (l->switch_pid && wake.waker_tgid == l->switch_pid) ? FOUND_KICKED :
												    FOUND_WOKEN;
		f.runnable_ns = wake.at_ns;
		f.running_ns = wake.in_ns;
	}
	return f;
}

static bool
is_better(const struct finding *a, const struct finding *b)
{
	if (a->found != b->found)
		return a->found < b->found;
	return threads_is_before(a->running_ns, b->running_ns);
}

// Of processors that were woken up to to_ns, or awake.
static struct finding
find_best(const struct look *l, uint64_t to_ns)
{
	struct finding best = {.found = FOUND_NOTHING};
	const struct thread *cpu;
	unsigned cursor = 0;

	while ((cpu = threads_next_cpu(l->threads, &cursor))) {
		struct finding f = find_cpu(l, cpu, to_ns);

		if (f.found != FOUND_NOTHING && (best.found == FOUND_NOTHING || is_better(&f, &best)))
			best = f;
	}
	return best;
}

// The main loop was woken by the switch before to_ns.
static bool
find_emulator(const struct look *l, uint64_t to_ns, struct threads_wake *ret_wake)
{
	const struct thread *loop = threads_main(l->threads);

	return loop && threads_wake_after(loop, l->chain->put_ns, to_ns, l->end_ns, ret_wake) &&
		(!l->switch_pid || ret_wake->waker_tgid == l->switch_pid);
}

// false: nothing explains how the guest came to consume it.
static bool
look_up(const struct look *l, uint64_t *points, struct stages *s)
{
	struct finding f = find_best(l, l->chain->consumed_ns);
	struct threads_wake loop;

	if (f.found == FOUND_NOTHING)
		f = find_best(l, l->end_ns);
	if (f.found == FOUND_NOTHING)
		return false;
	points[POINT_EMULATED] = l->kicked_ns;
	points[POINT_RUNNABLE] = f.runnable_ns;
	points[POINT_RUNNING] = f.running_ns;
	s->is_running = f.found == FOUND_RUNNING;
	if (f.found == FOUND_KICKED || f.found == FOUND_WOKEN) {
		s->is_emulated = f.is_by_emulator || find_emulator(l, f.runnable_ns, &loop);
		if (s->is_emulated)
			points[POINT_EMULATED] = f.runnable_ns;
	} else if (s->is_running && find_emulator(l, l->chain->consumed_ns, &loop)) {
		// No more is seen of it than when it got a CPU.
		s->is_emulated = true;
		points[POINT_EMULATED] = points[POINT_RUNNABLE] = points[POINT_RUNNING] = loop.in_ns;
	}
	if (threads_is_before(points[POINT_CONSUMED], points[POINT_RUNNING]))
		points[POINT_CONSUMED] = points[POINT_RUNNING];
	return true;
}

static enum stages_result
kind_of(const struct stages_chain *c)
{
	uint64_t end_ns = c->answered_ns && c->left_ns ? c->left_ns : c->consumed_ns;

	if (!c->put_ns)
		return STAGES_NOT_PUT;
	if (!c->consumed_ns)
		return STAGES_UNCONSUMED;
	if (!c->arrived_ns || threads_is_before(end_ns, c->arrived_ns) || threads_is_before(c->consumed_ns, c->put_ns))
		return STAGES_WRONG;
	return c->answered_ns && c->left_ns ? STAGES_ANSWERED : STAGES_UNANSWERED;
}

static void
subtract(uint64_t *points, struct stages *s)
{
	for (unsigned i = POINT_COUNT - 1; i-- > 1;)
		if (threads_is_before(points[i + 1], points[i]))
			points[i] = points[i + 1];
	for (unsigned i = 1; i < POINT_COUNT; i++)
		if (threads_is_before(points[i], points[i - 1]))
			points[i] = points[i - 1];
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		s->ns[i] = points[i + 1] - points[i];
	s->total_ns = points[POINT_LEFT] - points[POINT_ARRIVED];
}

enum stages_result
stages_of(const struct stages_chain *c, const struct threads *threads, uint32_t switch_pid, struct stages *ret_stages)
{
	const uint64_t kicked_ns = c->kicked_ns ? c->kicked_ns : c->put_ns;
	enum stages_result kind = kind_of(c);
	bool is_answered = kind == STAGES_ANSWERED;
	const struct look l = {c, threads, switch_pid, kicked_ns, is_answered ? c->answered_ns : c->consumed_ns};
	uint64_t points[POINT_COUNT] = {c->arrived_ns, c->queued_ns ? c->queued_ns : c->arrived_ns, c->put_ns,
		kicked_ns, kicked_ns, kicked_ns, kicked_ns, c->consumed_ns,
		is_answered ? c->answered_ns : c->consumed_ns, is_answered ? c->left_ns : c->consumed_ns};
	struct stages s;

	memset(&s, 0, sizeof(s));
	if (!is_answered && kind != STAGES_UNANSWERED)
		return kind;
	if (threads && (threads_is_lost(threads, c->put_ns, l.end_ns) || !look_up(&l, points, &s)))
		return STAGES_BLIND;
	subtract(points, &s);
	*ret_stages = s;
	return kind;
}
