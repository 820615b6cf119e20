// The order in which a host's egress link sends: the switch's scheduler, or other policies for
// comparison, behind one interface. All keep the same link (one packet after the other at its rate)
// and the same limit of queued packets per flow. So only the order differs. Late packets are
// dropped where their flow says so, under each policy.
//
// edf: rtvs/sched.h as it is. drr: the same without any min_rate; all is surplus, shared by weight.
// fifo: in order of arrival. priority: the flow with the shorter deadline always goes first, flows
// without one last.
#pragma once

#include "rtvs/sched.h"

enum policy_type {
	POLICY_EDF,
	POLICY_FIFO,
	POLICY_PRIORITY,
	POLICY_DRR,
	POLICY_COUNT,
};

struct policy;

extern const char *const policy_names[POLICY_COUNT];

// flows: checked parameters (sched_params_check). rate: bytes/s, 1 at least. NULL: out of memory.
struct policy *policy_create(enum policy_type type, const struct sched_params *flows, uint32_t n_flows, uint64_t rate);
void policy_destroy(struct policy *p); // NULL accepted

// item->user is the flow; len and arrival_ns are set. -ENOBUFS: the flow's limit is reached.
int policy_enqueue(struct policy *p, struct sched_item *item, uint64_t now_ns);
// The packet that begins to leave now, and the time when it has left; NULL: none may. verdict
// SCHED_LATE: it is dropped instead.
struct sched_item *policy_dequeue(struct policy *p, uint64_t *ret_left_ns, uint64_t now_ns);
// When policy_dequeue has something to give. False: nothing is queued.
bool policy_next_ns(const struct policy *p, uint64_t *ret_ns, uint64_t now_ns);
// Guaranteed packets of the flow that left after their deadline.
uint64_t policy_broken(const struct policy *p, uint32_t flow);
