// The workers' hold on their CPUs. To the kernel, a worker that polls is an ordinary busy thread:
// it waits for other threads that wake on its CPU, for a time slice of 4 ms and more each.
//
// SCHED_FIFO ends that and starves the others. The kernel's own remedy takes the CPU away for 50 ms
// in each second: by the fair server from Linux 6.12 on, by real-time throttling before that, and
// then even if no thread waits. The keeper, a thread of ours, therefore opens windows: for
// WINDOW_NS in each PERIOD_NS a busy worker is an ordinary thread of the lowest priority. Threads
// that wait for its CPU run in the window, and the kernel's remedy does not act. The worker
// continues if none waits.
//
// Invariant: outside of windows all threads have the priority of priority_start's result. The
// keeper's priority is above the workers', so that it opens windows even where it shares their CPU.
#include "priority.h"

#include "rtvs/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

// Workers have 94 % of the time; the kernel's remedies act at 95 % of a second. Longer windows make
// packets late. Of 111,000 packets with a deadline of 1 ms 401 missed it with 0.3 ms in 5 ms, 511
// with 0.6 ms in 10 ms, 809 with 1.2 ms in 20 ms. Both calls of a window take 25 us. Measured on an
// AMD EPYC, Linux 6.18.
#define PERIOD_NS 5000000
#define WINDOW_NS 300000
#define LOOK_NS 100000000 // between looks at workers that sleep
#define BUSY_PERCENT 90 // of the time, from which on a worker leaves nothing to others by itself
// Below it others had enough for the next LOOK_NS as well, even if the worker takes all of that.
#define QUIET_PERCENT 50
#define WORKER_PRIORITY 1
#define KEEPER_PRIORITY 2
#define NICE_LEAST 19
#define NICE_MOST (-20)
#define NICE_SLICE_NS 100000 // the shortest that the kernel takes

struct priority {
	unsigned n;
	struct thread {
		int tid;
		uint64_t ran_ns; // when it was last looked at
		bool is_open;
	} thread[DP_MAX_WORKERS];
	uint64_t looked_ns;
	int stop_fd;
	pthread_t keeper;
};

static uint64_t
read_clock(clockid_t id)
{
	struct timespec ts = {0};

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

// CPU time of another thread. The clock's number is the kernel's (linux/posix-timers.h);
// pthread_getcpuclockid makes the same one, and takes a pthread_t.
static uint64_t
ran_ns(int tid)
{
	return read_clock((clockid_t)(~(unsigned)tid << 3 | 6));
}

static int
set(int tid, unsigned policy, unsigned priority, int nice, uint64_t slice_ns)
{
	struct sched_attr attr = {.size = sizeof(attr),
		.sched_policy = policy,
		.sched_priority = priority,
		.sched_nice = nice,
		.sched_runtime = slice_ns};

	return sched_setattr(tid, &attr, 0) ? -errno : 0;
}

static int
set_fifo(int tid)
{
	return set(tid, SCHED_FIFO, WORKER_PRIORITY, 0, 0);
}

// A nice value counts within a session where the kernel groups threads by session (autogroup). The
// session then gets the same value. The file is not there without autogroup.
static void
set_session_nice(void)
{
	FILE *f = fopen("/proc/self/autogroup", "we");

	if (!f)
		return;
	(void)fprintf(f, "%d", NICE_MOST);
	(void)fclose(f);
}

// Opens windows for all threads that leave no time to others; returns how many. *ret_wait_ns: when
// to look again.
static unsigned
open_windows(struct priority *p, uint64_t *ret_wait_ns)
{
	uint64_t now_ns = read_clock(CLOCK_MONOTONIC), past_ns = now_ns - p->looked_ns;
	unsigned n = 0;

	p->looked_ns = now_ns;
	*ret_wait_ns = LOOK_NS;
	for (unsigned i = 0; i < p->n; i++) {
		struct thread *t = &p->thread[i];
		uint64_t now_ran_ns = ran_ns(t->tid);
		uint64_t percent = (now_ran_ns - t->ran_ns) * 100 / (past_ns + 1);

		t->ran_ns = now_ran_ns;
		t->is_open = percent >= BUSY_PERCENT && !set(t->tid, SCHED_OTHER, 0, NICE_LEAST, 0);
		if (percent >= QUIET_PERCENT)
			*ret_wait_ns = PERIOD_NS - WINDOW_NS;
		n += t->is_open;
	}
	return n;
}

// 0 or a negative errno: of the last thread that the kernel refused.
static int
close_windows(struct priority *p)
{
	int rc = 0;

	for (unsigned i = 0; i < p->n; i++) {
		int refused = p->thread[i].is_open ? set_fifo(p->thread[i].tid) : 0;

		rc = refused ? refused : rc;
	}
	return rc;
}

static void *
keep(void *arg)
{
	struct priority *p = arg;
	struct pollfd stop = {.fd = p->stop_fd, .events = POLLIN};
	uint64_t wait_ns = LOOK_NS;
	int rc = 0;

	(void)pthread_setname_np(pthread_self(), "rtvs-windows");
	while (!rc && ppoll(&stop, 1, &(struct timespec){.tv_nsec = (long)wait_ns}, NULL) <= 0) {
		if (!open_windows(p, &wait_ns))
			continue;
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = WINDOW_NS}, NULL);
		rc = close_windows(p);
	}
	if (rc)
		log_warning("workers: real-time priority was taken from this process (%s): they are ordinary threads",
			strerror(-rc));
	return NULL;
}

static int
start_keeper(struct priority *p)
{
	struct sched_param param = {.sched_priority = KEEPER_PRIORITY};
	pthread_attr_t attr;
	int rc;

	p->looked_ns = read_clock(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < p->n; i++)
		p->thread[i].ran_ns = ran_ns(p->thread[i].tid);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	(void)pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	(void)pthread_attr_setschedparam(&attr, &param);
	rc = -pthread_create(&p->keeper, &attr, keep, p);
	(void)pthread_attr_destroy(&attr);
	return rc;
}

// 0 or a negative errno, and then *p is as it was.
static int
start_fifo(const int *tids, unsigned n, struct priority **ret_p)
{
	struct priority *p = calloc(1, sizeof(*p));
	int rc = 0;

	if (!p)
		return -ENOMEM;
	p->n = n;
	for (unsigned i = 0; i < n; i++)
		p->thread[i].tid = tids[i];
	p->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (p->stop_fd < 0) {
		rc = -errno;
		goto err_free;
	}
	// The keeper comes first: without windows a worker starves others.
	rc = start_keeper(p);
	if (rc)
		goto err_close;
	for (unsigned i = 0; !rc && i < n; i++)
		rc = set_fifo(tids[i]);
	if (rc)
		goto err_stop;
	*ret_p = p;
	return 0;
err_stop:
	for (unsigned i = 0; i < n; i++)
		(void)set(tids[i], SCHED_OTHER, 0, 0, 0);
	priority_stop(p);
	return rc;
err_close:
	close(p->stop_fd);
err_free:
	free(p);
	return rc;
}

static int
start_nice(const int *tids, unsigned n)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < n; i++)
		rc = set(tids[i], SCHED_OTHER, 0, NICE_MOST, NICE_SLICE_NS);
	if (!rc)
		set_session_nice();
	return rc;
}

enum dp_priority
priority_start(const int *tids, unsigned n, enum dp_priority wanted, struct priority **ret_p)
{
	int fifo_rc = 0, rc = 0;

	*ret_p = NULL;
	if (wanted == DP_PRIORITY_FIFO) {
		fifo_rc = start_fifo(tids, n, ret_p);
		if (!fifo_rc)
			return DP_PRIORITY_FIFO;
	}
	if (wanted != DP_PRIORITY_NORMAL) {
		rc = start_nice(tids, n);
		wanted = rc ? DP_PRIORITY_NORMAL : DP_PRIORITY_NICE;
	}
	if (fifo_rc)
		log_warning(
			"workers: the kernel refuses real-time priority (SCHED_FIFO: %s), they get worker_priority=%s; "
			"LimitRTPRIO=2 of the unit, 'ulimit -r 2' or CAP_SYS_NICE permits it",
			strerror(-fifo_rc), wanted == DP_PRIORITY_NICE ? "nice" : "normal");
	else if (rc)
		log_warning("workers: the kernel refuses nice %d (%s), they get worker_priority=normal; "
			    "LimitNICE=%d of the unit, 'ulimit -e 40' or CAP_SYS_NICE permits it",
			NICE_MOST, strerror(-rc), NICE_MOST);
	return wanted;
}

void
priority_stop(struct priority *p)
{
	if (!p)
		return;
	(void)eventfd_write(p->stop_fd, 1);
	(void)pthread_join(p->keeper, NULL);
	close(p->stop_fd);
	free(p);
}
