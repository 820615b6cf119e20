// Priorities of threads that poll, as workers do, with the kernel's own scheduler. A child process
// takes its rights away where a case is about those that are missing.
#include "../unit.h"
#include "priority.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_S 20
#define SKIPPED 77 // exit status
#define NICE_RANGE 20 // RLIMIT_NICE is 20 - nice
#define KEEPER_LIMIT 2 // RLIMIT_RTPRIO that "fifo" takes

struct poller {
	pthread_t thread;
	atomic_int tid;
	atomic_bool is_over;
	atomic_uint_fast64_t n;
};

static void *
poll_on(void *arg)
{
	struct poller *p = arg;

	atomic_store(&p->tid, (int)gettid());
	while (!atomic_load(&p->is_over))
		atomic_fetch_add(&p->n, 1);
	return NULL;
}

// On the last CPU that this process may use, and off the others.
static void
poller_start(struct poller *p)
{
	pthread_attr_t attr;
	cpu_set_t all, last;
	int cpu = CPU_SETSIZE - 1;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu--;
	CPU_ZERO(&last);
	CPU_SET(cpu, &last);
	pthread_attr_init(&attr);
	assert_int_equal(pthread_attr_setaffinity_np(&attr, sizeof(last), &last), 0);
	assert_int_equal(pthread_create(&p->thread, &attr, poll_on, p), 0);
	pthread_attr_destroy(&attr);
	while (!atomic_load(&p->tid))
		sched_yield();
}

static void
poller_stop(struct poller *p)
{
	atomic_store(&p->is_over, true);
	pthread_join(p->thread, NULL);
}

static bool
has_policy(const struct poller *p, int policy)
{
	return sched_getscheduler(p->tid) == policy;
}

static bool
wait_for_policy(const struct poller *p, int policy)
{
	time_t end = time(NULL) + WAIT_S;

	while (!has_policy(p, policy) && time(NULL) < end)
		sched_yield();
	return time(NULL) < end;
}

static bool
wait_for_progress(const struct poller *p)
{
	uint64_t n = atomic_load(&p->n);
	time_t end = time(NULL) + WAIT_S;

	while (atomic_load(&p->n) == n && time(NULL) < end)
		sched_yield();
	return time(NULL) < end;
}

// Only these limits are left of the right to a priority. In a child, which ends where the machine's
// own limits are lower.
static void
keep_only(rlim_t rt_priority, rlim_t nice)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (setrlimit(RLIMIT_RTPRIO, &(struct rlimit){rt_priority, rt_priority}) ||
		setrlimit(RLIMIT_NICE, &(struct rlimit){nice, nice}))
		_exit(SKIPPED);
	if (syscall(SYS_capget, &header, data))
		_exit(3);
	data[0].effective &= ~(1u << CAP_SYS_NICE);
	data[0].permitted &= ~(1u << CAP_SYS_NICE);
	if (syscall(SYS_capset, &header, data))
		_exit(4);
}

// The priority that a worker gets.
static enum dp_priority
get(enum dp_priority wanted, struct poller *p, struct priority **ret_priority)
{
	poller_start(p);
	return priority_start((int[]){p->tid}, 1, wanted, ret_priority);
}

static void
normal_leaves_threads_as_they_are(void **state)
{
	struct poller p = {0};
	struct priority *priority;

	(void)state;
	assert_int_equal(get(DP_PRIORITY_NORMAL, &p, &priority), DP_PRIORITY_NORMAL);
	assert_null(priority);
	assert_true(has_policy(&p, sched_getscheduler(0)));
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)p.tid), getpriority(PRIO_PROCESS, 0));
	priority_stop(priority);
	poller_stop(&p);
}

// Builds without it skip these cases.
static void
need_right(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	if (!(data[0].effective & 1u << CAP_SYS_NICE))
		skip();
}

static void
nice_is_the_most(void **state)
{
	struct poller p = {0};
	struct priority *priority;

	(void)state;
	need_right();
	assert_int_equal(get(DP_PRIORITY_NICE, &p, &priority), DP_PRIORITY_NICE);
	assert_null(priority);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)p.tid), -20);
	poller_stop(&p);
}

static void
others_run_beside_a_worker_that_polls(void **state)
{
	struct poller worker = {0}, other = {0};
	struct priority *priority;

	(void)state;
	need_right();
	assert_int_equal(get(DP_PRIORITY_FIFO, &worker, &priority), DP_PRIORITY_FIFO);
	poller_start(&other);
	assert_true(wait_for_policy(&worker, SCHED_OTHER)); // a window
	assert_true(wait_for_policy(&worker, SCHED_FIFO));
	assert_true(wait_for_progress(&other));
	assert_true(wait_for_progress(&worker));
	priority_stop(priority);
	assert_true(has_policy(&worker, SCHED_FIFO)); // no window is left open
	poller_stop(&worker);
	poller_stop(&other);
}

static void
run_in_child(void (*run)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		skip();
	assert_int_equal(status, 0);
}

// In a child. told: what the one line of the log has in it; NULL: there is none.
static void
expect_got(enum dp_priority wanted, enum dp_priority expected, const char *told)
{
	int to = dup(STDERR_FILENO), log = memfd_create("log", 0);
	struct poller p = {0};
	struct priority *priority;
	enum dp_priority got;
	char text[1024] = "";
	const char *end;

	dup2(log, STDERR_FILENO);
	got = get(wanted, &p, &priority);
	priority_stop(priority);
	poller_stop(&p);
	dup2(to, STDERR_FILENO);
	if (pread(log, text, sizeof(text) - 1, 0) < 0)
		_exit(2);
	end = strchr(text, '\n');
	if (got == expected && (told ? end && !end[1] && strstr(text, told) : !end))
		return;
	fprintf(stderr, "wanted %d, expected %d, got %d: %s\n", wanted, expected, got, text);
	_exit(1);
}

static void
without_any_right(void)
{
	keep_only(0, 0);
	expect_got(DP_PRIORITY_FIFO, DP_PRIORITY_NORMAL, "LimitRTPRIO=2");
	expect_got(DP_PRIORITY_NICE, DP_PRIORITY_NORMAL, "LimitNICE=-20");
	expect_got(DP_PRIORITY_NORMAL, DP_PRIORITY_NORMAL, NULL);
}

static void
with_nice_alone(void)
{
	keep_only(KEEPER_LIMIT - 1, 2 * NICE_RANGE);
	expect_got(DP_PRIORITY_FIFO, DP_PRIORITY_NICE, "worker_priority=nice");
}

static void
with_too_little_nice(void)
{
	keep_only(0, 2 * NICE_RANGE - 1);
	expect_got(DP_PRIORITY_NICE, DP_PRIORITY_NORMAL, "LimitNICE=-20");
}

static void
with_the_limit_alone(void)
{
	keep_only(KEEPER_LIMIT, 0);
	expect_got(DP_PRIORITY_FIFO, DP_PRIORITY_FIFO, NULL);
}

static void
what_is_refused_is_told_once(void **state)
{
	(void)state;
	run_in_child(without_any_right);
}

static void
fifo_becomes_nice_below_its_limit(void **state)
{
	(void)state;
	run_in_child(with_nice_alone);
}

static void
nice_has_its_limit(void **state)
{
	(void)state;
	run_in_child(with_too_little_nice);
}

static void
limit_of_two_is_enough(void **state)
{
	(void)state;
	run_in_child(with_the_limit_alone);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(normal_leaves_threads_as_they_are),
		cmocka_unit_test(nice_is_the_most),
		cmocka_unit_test(others_run_beside_a_worker_that_polls),
		cmocka_unit_test(what_is_refused_is_told_once),
		cmocka_unit_test(fifo_becomes_nice_below_its_limit),
		cmocka_unit_test(nice_has_its_limit),
		cmocka_unit_test(limit_of_two_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
