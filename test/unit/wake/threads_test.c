// The actions of threads and their times: out of order, forgotten, lost; and which thread is a
// virtual processor.
#include "../unit.h"
#include "wake_script.h"

#include <errno.h>
#include <string.h>

static const struct thread *
cpu_of(const struct threads *t, unsigned i)
{
	const struct thread *cpu = NULL;
	unsigned cursor = 0;

	for (unsigned k = 0; k <= i; k++)
		cpu = threads_next_cpu(t, &cursor);
	return cpu;
}

static void
state_follows_events(void **state)
{
	struct threads *t =
		wake_script_threads("100 waking cpu0; 110 in cpu0; 200 preempted cpu0; 220 in cpu0; 300 out cpu0", 0);
	const struct thread *cpu = cpu_of(t, 0);

	(void)state;
	assert_int_equal(threads_state_at(cpu, 99), THREADS_ASLEEP);
	assert_int_equal(threads_state_at(cpu, 100), THREADS_WAITING);
	assert_int_equal(threads_state_at(cpu, 110), THREADS_RUNNING);
	assert_int_equal(threads_state_at(cpu, 200), THREADS_WAITING);
	assert_int_equal(threads_state_at(cpu, 220), THREADS_RUNNING);
	assert_int_equal(threads_state_at(cpu, 1000), THREADS_ASLEEP);
	threads_destroy(t);
}

static void
what_was_before_follows_from_the_first_event(void **state)
{
	static const struct {
		const char *script;
		enum threads_state before;
	} cases[] = {{"100 waking cpu1", THREADS_ASLEEP}, {"100 in cpu1", THREADS_WAITING},
		{"100 out cpu1", THREADS_RUNNING}, {"100 preempted cpu1", THREADS_RUNNING}};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct threads *t = wake_script_threads(cases[i].script, 0);

		assert_int_equal(threads_state_at(cpu_of(t, 1), 50), cases[i].before);
		threads_destroy(t);
	}
}

static void
order_of_arrival_does_not_matter(void **state)
{
	struct threads *t = wake_script_threads("300 out cpu0; 110 in cpu0; 100 waking cpu0 by switch", 0);
	struct threads_wake wake;

	(void)state;
	assert_true(threads_wake_after(cpu_of(t, 0), 50, 1000, 1000, &wake));
	assert_int_equal(wake.at_ns, 100);
	assert_int_equal(wake.in_ns, 110);
	assert_int_equal(wake.waker_tgid, SCRIPT_SWITCH);
	threads_destroy(t);
}

static void
waking_one_that_runs_is_no_wake(void **state)
{
	struct threads *t =
		wake_script_threads("10 waking cpu0; 20 in cpu0; 30 waking cpu0; 40 waking cpu0; 50 preempted cpu0", 0);
	struct threads_wake wake;

	(void)state;
	assert_int_equal(threads_state_at(cpu_of(t, 0), 45), THREADS_RUNNING);
	assert_false(threads_wake_after(cpu_of(t, 0), 25, 1000, 1000, &wake));
	threads_destroy(t);
}

// The kernel may tell of the wake before it tells of the sleep.
static void
one_that_runs_again_unseen_was_woken(void **state)
{
	struct threads *t = wake_script_threads("10 in cpu0; 30 waking cpu0; 31 out cpu0; 40 in cpu0", 0);
	struct threads_wake wake;

	(void)state;
	assert_true(threads_wake_after(cpu_of(t, 0), 20, 1000, 1000, &wake));
	assert_int_equal(wake.at_ns, 40);
	assert_int_equal(wake.in_ns, 40);
	threads_destroy(t);
}

static void
wakes_are_within_their_time(void **state)
{
	struct threads *t = wake_script_threads("100 waking cpu0; 200 in cpu0", 0);
	struct threads_wake wake;
	uint64_t in_ns;

	(void)state;
	assert_false(threads_wake_after(cpu_of(t, 0), 0, 99, 99, &wake));
	assert_true(threads_wake_after(cpu_of(t, 0), 0, 150, 150, &wake));
	assert_int_equal(wake.in_ns, 150); // not yet
	assert_true(threads_wake_after(cpu_of(t, 0), 0, 150, 300, &wake));
	assert_int_equal(wake.in_ns, 200);
	assert_false(threads_wake_after(cpu_of(t, 0), 100, 1000, 1000, &wake));
	assert_false(threads_in_after(cpu_of(t, 0), 0, 199, &in_ns));
	assert_true(threads_in_after(cpu_of(t, 0), 0, 200, &in_ns));
	threads_destroy(t);
}

static void
processors_are_known_by_name_or_else_by_not_being_first(void **state)
{
	static const struct {
		const char *comm;
		bool is_cpu;
	} names[] = {{"CPU 0/KVM", true}, {"CPU 17/TCG", true}, {"ALL CPUs/TCG", true}, {"CPU /KVM", false},
		{"CPUX", false}, {"IO iothread0", false}, {"worker", false}};

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct threads *t = threads_create(SCRIPT_QEMU);

		assert_int_equal(threads_add(t, 200, "CPU 9/KVM", THREADS_ASLEEP), 0);
		assert_int_equal(threads_add(t, 201, names[i].comm, THREADS_ASLEEP), 0);
		assert_int_equal(threads_is_cpu(t, 201), names[i].is_cpu);
		threads_destroy(t);
	}
	struct threads *t = threads_create(SCRIPT_QEMU);

	assert_int_equal(threads_add(t, SCRIPT_QEMU, "qemu", THREADS_ASLEEP), 0);
	assert_int_equal(threads_add(t, 201, "qemu", THREADS_ASLEEP), 0);
	assert_true(threads_is_cpu(t, 201));
	assert_false(threads_is_cpu(t, SCRIPT_QEMU));
	assert_false(threads_is_cpu(t, 202));
	assert_non_null(threads_main(t));
	threads_destroy(t);
}

static void
more_threads_than_the_limit_are_refused(void **state)
{
	struct threads *t = threads_create(SCRIPT_QEMU);

	(void)state;
	for (uint32_t i = 0; i < THREADS_MAX; i++)
		assert_int_equal(threads_add(t, 1000 + i, "x", THREADS_ASLEEP), 0);
	assert_int_equal(threads_add(t, 1000, "x", THREADS_ASLEEP), 0);
	assert_int_equal(threads_add(t, 999, "x", THREADS_ASLEEP), -ENOSPC);
	threads_destroy(t);
}

static void
others_and_unknown_events_are_refused(void **state)
{
	struct threads *t = threads_create(SCRIPT_QEMU);
	struct event e = {.tgid = SCRIPT_QEMU + 1, .tid = 5};

	(void)state;
	assert_int_equal(threads_event(t, &e), -EINVAL);
	e.tgid = SCRIPT_QEMU;
	e.type = EVENT_COUNT;
	assert_int_equal(threads_event(t, &e), -EINVAL);
	threads_destroy(t);
}

static void
what_is_forgotten_is_unknown(void **state)
{
	struct threads *t = threads_create(SCRIPT_QEMU);
	struct event e = {.tgid = SCRIPT_QEMU, .tid = SCRIPT_CPU0, .comm = "CPU 0/KVM"};

	(void)state;
	for (uint64_t i = 0; i <= THREADS_KEPT; i++) {
		e.ts_ns = 1000 + i;
		e.type = i % 2 ? EVENT_OUT : EVENT_IN;
		assert_int_equal(threads_event(t, &e), 0);
	}
	assert_int_equal(threads_state_at(cpu_of(t, 0), 1000), THREADS_UNKNOWN);
	assert_int_equal(threads_state_at(cpu_of(t, 0), 1000 + THREADS_KEPT / 2 - 1), THREADS_ASLEEP);
	assert_int_equal(threads_state_at(cpu_of(t, 0), 1000 + THREADS_KEPT), THREADS_RUNNING);
	e.ts_ns = 1000;
	assert_int_equal(threads_event(t, &e), -ESTALE);
	threads_destroy(t);
}

static void
lost_times_are_remembered(void **state)
{
	struct threads *t = threads_create(SCRIPT_QEMU);

	(void)state;
	threads_lost(t, 100, 200);
	assert_false(threads_is_lost(t, 50, 99));
	assert_true(threads_is_lost(t, 50, 100));
	assert_true(threads_is_lost(t, 150, 160));
	assert_true(threads_is_lost(t, 200, 300));
	assert_false(threads_is_lost(t, 201, 300));
	threads_destroy(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_follows_events),
		cmocka_unit_test(what_was_before_follows_from_the_first_event),
		cmocka_unit_test(order_of_arrival_does_not_matter),
		cmocka_unit_test(waking_one_that_runs_is_no_wake),
		cmocka_unit_test(one_that_runs_again_unseen_was_woken),
		cmocka_unit_test(wakes_are_within_their_time),
		cmocka_unit_test(processors_are_known_by_name_or_else_by_not_being_first),
		cmocka_unit_test(more_threads_than_the_limit_are_refused),
		cmocka_unit_test(others_and_unknown_events_are_refused),
		cmocka_unit_test(what_is_forgotten_is_unknown),
		cmocka_unit_test(lost_times_are_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
