// Workers run on the threads that EAL made for their CPUs. A halted worker has ended its last turn:
// no packet is staged, each used descriptor is published, and its thread waits for the next start.
#include "workers.h"

#include "dp_state.h"
#include "priority.h"
#include "views.h"

#include <rte_launch.h>
#include <rte_lcore.h>

#include <errno.h>
#include <time.h>

#define WAIT_MS 10000 // for a worker's first instruction, on a busy machine

// Their threads run, or are about to.
int
dp_raise(struct dp *dp)
{
	int tid[DP_MAX_WORKERS];

	if (dp->is_raised)
		return 0;
	for (unsigned i = 0; i < dp->env.n_workers; i++) {
		unsigned n_waits = 0;

		while (!(tid[i] = atomic_load(&dp->worker[i]->tid))) {
			if (n_waits++ == WAIT_MS)
				return -ETIMEDOUT;
			(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		}
	}
	dp->priority = priority_start(tid, dp->env.n_workers, dp->cfg.worker_priority, &dp->windows);
	dp->is_raised = true;
	return 0;
}

int
workers_create(struct dp *dp)
{
	int rc;

	rc = rcu_init(&dp->env.rcu, DP_MAX_WORKERS);
	if (!rc)
		rc = views_start(dp);
	for (unsigned i = 0; !rc && i < dp->cfg.workers.n; i++) {
		rc = worker_create(&dp->env, (uint16_t)i, dp->cfg.workers.cpu[i], i + 1, &dp->worker[i]);
		if (!rc)
			dp->env.n_workers = i + 1;
	}
	return rc;
}

void
dp_halt(struct dp *dp)
{
	dp->is_running = false;
	atomic_store(&dp->env.stop, true);
	for (unsigned i = 0; i < dp->env.n_workers; i++)
		waker_wake(&dp->worker[i]->waker);
	for (unsigned i = 0; i < dp->env.n_workers; i++)
		rte_eal_wait_lcore(i + 1);
	rcu_wait(&dp->env.rcu); // nobody is left: what they wrote is seen from here on
}

int
dp_resume(struct dp *dp)
{
	int rc = 0;

	atomic_store(&dp->env.stop, false);
	for (unsigned i = 0; !rc && i < dp->env.n_workers; i++)
		rc = rte_eal_remote_launch(worker_main, dp->worker[i], i + 1);
	dp->is_running = !rc;
	return rc;
}
