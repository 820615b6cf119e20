#include "rcu.h"

#include <rte_malloc.h>

#include <errno.h>

int
rcu_init(struct rcu *rcu, unsigned max_threads)
{
	rcu->qsbr = rte_zmalloc("rcu", rte_rcu_qsbr_get_memsize(max_threads), RTE_CACHE_LINE_SIZE);
	if (!rcu->qsbr)
		return -ENOMEM;
	return rte_rcu_qsbr_init(rcu->qsbr, max_threads) ? -EINVAL : 0;
}

void
rcu_fini(struct rcu *rcu)
{
	tsan_acquire(rcu->qsbr);
	rte_free(rcu->qsbr);
	rcu->qsbr = NULL;
}

void
rcu_wait(struct rcu *rcu)
{
	if (!rcu->qsbr)
		return;
	rte_rcu_qsbr_synchronize(rcu->qsbr, RTE_QSBR_THRID_INVALID);
	tsan_acquire(rcu->qsbr);
}

uint64_t
rcu_token(struct rcu *rcu)
{
	return rcu->qsbr ? rte_rcu_qsbr_start(rcu->qsbr) : 0;
}

bool
rcu_is_over(struct rcu *rcu, uint64_t token)
{
	if (!rcu->qsbr)
		return true;
	if (rte_rcu_qsbr_check(rcu->qsbr, token, false) != 1)
		return false;
	tsan_acquire(rcu->qsbr);
	return true;
}

void
rcu_begin(struct rcu *rcu, unsigned index)
{
	rte_rcu_qsbr_thread_register(rcu->qsbr, index);
	rte_rcu_qsbr_thread_online(rcu->qsbr, index);
}

void
rcu_end(struct rcu *rcu, unsigned index)
{
	rte_rcu_qsbr_thread_offline(rcu->qsbr, index);
	rte_rcu_qsbr_thread_unregister(rcu->qsbr, index);
	tsan_release(rcu->qsbr);
}

void
rcu_pause(struct rcu *rcu, unsigned index)
{
	tsan_release(rcu->qsbr);
	rte_rcu_qsbr_thread_offline(rcu->qsbr, index);
}

void
rcu_resume(struct rcu *rcu, unsigned index)
{
	rte_rcu_qsbr_thread_online(rcu->qsbr, index);
}
