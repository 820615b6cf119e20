// The time after which no worker uses a retired object any more: DPDK's quiescent states, with the
// marks that ThreadSanitizer needs. A sleeping worker is offline and not waited for.
#pragma once

#include "tsan.h"

#include <rte_rcu_qsbr.h>

struct rcu {
	struct rte_rcu_qsbr *qsbr; // NULL: there are no workers yet, and no wait is needed
};

int rcu_init(struct rcu *rcu, unsigned max_threads); // -ENOMEM
void rcu_fini(struct rcu *rcu); // all threads have ended; what they did is seen
void rcu_wait(struct rcu *rcu); // until no worker uses what it could have seen before the call
// The same without waiting: from the token on, until is_over says true.
uint64_t rcu_token(struct rcu *rcu);
bool rcu_is_over(struct rcu *rcu, uint64_t token);

// A worker, by its number. begin: online from here on. Pointers read before pause are not used
// after resume.
void rcu_begin(struct rcu *rcu, unsigned index);
void rcu_end(struct rcu *rcu, unsigned index);
void rcu_pause(struct rcu *rcu, unsigned index);
void rcu_resume(struct rcu *rcu, unsigned index);

static inline void
rcu_quiescent(struct rcu *rcu, unsigned index) // between two turns
{
	tsan_release(rcu->qsbr);
	rte_rcu_qsbr_quiescent(rcu->qsbr, index);
}
