// The copy has two owners, the thread and whoever waits; the last one frees it. Threads that are
// left alone are few, since each counts until it ends.
#include "bounded.h"

#include "rtvs/vdpa.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct job {
	pthread_mutex_t lock;
	pthread_cond_t is_done_cond;
	bool is_done, is_alone; // under the lock: fn has ended; nobody waits any more
	int rc;
	int (*fn)(void *data);
	_Alignas(max_align_t) char data[];
};

static atomic_uint n_calls;

static void
job_free(struct job *job)
{
	(void)pthread_cond_destroy(&job->is_done_cond);
	(void)pthread_mutex_destroy(&job->lock);
	free(job);
}

static void *
run_job(void *arg)
{
	struct job *job = arg;
	bool is_alone;
	int rc = job->fn(job->data);

	atomic_fetch_sub(&n_calls, 1);
	(void)pthread_mutex_lock(&job->lock);
	job->rc = rc;
	job->is_done = true;
	is_alone = job->is_alone;
	(void)pthread_cond_signal(&job->is_done_cond);
	(void)pthread_mutex_unlock(&job->lock);
	if (is_alone)
		job_free(job);
	return NULL;
}

static int
start_job(struct job *job, pthread_t *ret_thread)
{
	sigset_t all, before;
	int rc;

	// Signals are for the threads that handle them.
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(ret_thread, NULL, run_job, job);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static struct timespec
time_after_ms(unsigned ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

static bool
wait_for_end(struct job *job, unsigned timeout_ms)
{
	struct timespec end = time_after_ms(timeout_ms);
	bool is_done;
	int rc = 0;

	(void)pthread_mutex_lock(&job->lock);
	while (!job->is_done && !rc)
		rc = pthread_cond_clockwait(&job->is_done_cond, &job->lock, CLOCK_MONOTONIC, &end);
	is_done = job->is_done;
	job->is_alone = !is_done;
	(void)pthread_mutex_unlock(&job->lock);
	return is_done;
}

int
bounded_call(int (*fn)(void *data), void *data, size_t size, unsigned timeout_ms)
{
	struct job *job;
	pthread_t thread;
	int rc;

	if (atomic_fetch_add(&n_calls, 1) >= VDPA_MAX_CALLS) {
		atomic_fetch_sub(&n_calls, 1);
		return -EBUSY;
	}
	job = calloc(1, sizeof(*job) + size);
	rc = job ? 0 : -ENOMEM;
	if (job) {
		(void)pthread_mutex_init(&job->lock, NULL);
		(void)pthread_cond_init(&job->is_done_cond, NULL);
		job->fn = fn;
		memcpy(job->data, data, size);
		rc = start_job(job, &thread);
	}
	if (rc) {
		atomic_fetch_sub(&n_calls, 1);
		if (job)
			job_free(job);
		return rc;
	}
	if (!wait_for_end(job, timeout_ms)) {
		(void)pthread_detach(thread);
		return -ETIMEDOUT;
	}
	(void)pthread_join(thread, NULL);
	memcpy(data, job->data, size);
	rc = job->rc;
	job_free(job);
	return rc;
}

const char *
bounded_why(int rc)
{
	switch (rc) {
	case -ETIMEDOUT:
		return "the kernel did not finish in time: a vDPA device does not answer it";
	case -EBUSY:
		return "too many requests wait in the kernel: a vDPA device does not answer it";
	case -EPERM:
		return "no permission: needs root";
	default:
		return strerror(-rc);
	}
}
