// The policies of policy.h. Two mechanisms do all four: the core's scheduler, and lists by rank, of
// which the lowest that is not empty goes first. fifo has one rank; under priority each deadline is
// one. The core's queue of deadlines finds that list. All is O(1), except for deadlines beyond that
// queue's window.
#include "policy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)

struct rank {
	struct sched_item *head, *tail;
};

struct policy {
	bool is_ranked;
	uint32_t n_flows;
	void *memory;
	struct sched sched;
	// The rest is of ranks; a rank has the number of its first flow.
	struct sched_params *flow;
	uint32_t *rank_of, *n_queued; // of each flow
	struct rank *rank;
	struct edf ranks; // not empty ones
	uint64_t rate, free_ns, remainder; // the link
};

const char *const policy_names[POLICY_COUNT] = {"edf", "fifo", "priority", "drr"};

static uint64_t
key_of(const struct sched_params *flow)
{
	return flow->deadline_ns ? flow->deadline_ns : UINT64_MAX;
}

static void
set_ranks(struct policy *p, bool by_deadline)
{
	for (uint32_t i = 0; i < p->n_flows; i++) {
		uint32_t first = 0;

		while (by_deadline && key_of(&p->flow[first]) != key_of(&p->flow[i]))
			first++; // i at the latest
		p->rank_of[i] = first;
	}
}

static bool
init_ranked(struct policy *p, const struct sched_params *flows, bool by_deadline)
{
	p->memory = aligned_alloc(EDF_ALIGN, edf_memory_bytes(p->n_flows));
	p->flow = calloc(p->n_flows, sizeof(*p->flow));
	p->rank_of = calloc(p->n_flows, sizeof(*p->rank_of));
	p->n_queued = calloc(p->n_flows, sizeof(*p->n_queued));
	p->rank = calloc(p->n_flows, sizeof(*p->rank));
	if (!p->memory || !p->flow || !p->rank_of || !p->n_queued || !p->rank)
		return false;
	edf_init(&p->ranks, p->n_flows, p->memory);
	for (uint32_t i = 0; i < p->n_flows; i++)
		p->flow[i] = flows[i];
	set_ranks(p, by_deadline);
	return true;
}

static bool
init_sched(struct policy *p, const struct sched_params *flows, bool has_guarantees)
{
	p->memory = aligned_alloc(SCHED_ALIGN, sched_memory_bytes(p->n_flows));
	if (!p->memory)
		return false;
	sched_init(&p->sched, p->n_flows, p->memory, 0);
	for (uint32_t i = 0; i < p->n_flows; i++) {
		struct sched_params params = flows[i];

		if (!has_guarantees)
			params.min_rate = params.burst = 0;
		sched_set_sender(&p->sched, i, &params, 0);
	}
	sched_set_link(&p->sched, p->rate, 0, 0, 0);
	return true;
}

struct policy *
policy_create(enum policy_type type, const struct sched_params *flows, uint32_t n_flows, uint64_t rate)
{
	struct policy *p = calloc(1, sizeof(*p));

	assert(rate);
	if (!p)
		return NULL;
	p->is_ranked = type == POLICY_FIFO || type == POLICY_PRIORITY;
	p->n_flows = n_flows;
	p->rate = rate;
	if (p->is_ranked ? init_ranked(p, flows, type == POLICY_PRIORITY) : init_sched(p, flows, type == POLICY_EDF))
		return p;
	policy_destroy(p);
	return NULL;
}

void
policy_destroy(struct policy *p)
{
	if (!p)
		return;
	free(p->memory);
	free(p->flow);
	free(p->rank_of);
	free(p->n_queued);
	free(p->rank);
	free(p);
}

static int
ranked_enqueue(struct policy *p, struct sched_item *item)
{
	uint32_t id = p->rank_of[item->user];
	struct rank *rank = &p->rank[id];

	if (p->n_queued[item->user] >= p->flow[item->user].limit)
		return -ENOBUFS;
	p->n_queued[item->user]++;
	item->next = NULL;
	if (rank->head) {
		rank->tail->next = item;
	} else {
		rank->head = item;
		edf_push(&p->ranks, id, key_of(&p->flow[id]));
	}
	rank->tail = item;
	return 0;
}

// As the core's link without slack: the rest of a division is carried while packets follow each
// other.
static uint64_t
use_link(struct policy *p, uint32_t len, uint64_t now_ns)
{
	uint64_t work;

	if (p->free_ns < now_ns) {
		p->free_ns = now_ns;
		p->remainder = 0;
	}
	work = len * NS_PER_S + p->remainder; // 2^16 * 2^30 + 2^36
	p->free_ns += work / p->rate;
	p->remainder = work % p->rate;
	return p->free_ns;
}

static struct sched_item *
ranked_dequeue(struct policy *p, uint64_t *ret_left_ns, uint64_t now_ns)
{
	uint32_t id = edf_first(&p->ranks);
	struct sched_item *item;
	const struct sched_params *flow;

	if (id == EDF_NONE || p->free_ns > now_ns)
		return NULL;
	item = p->rank[id].head;
	flow = &p->flow[item->user];
	p->rank[id].head = item->next;
	if (!item->next)
		edf_remove(&p->ranks, id);
	p->n_queued[item->user]--;
	item->verdict = SCHED_SURPLUS;
	if (flow->drops_late && flow->deadline_ns && now_ns - item->arrival_ns > flow->deadline_ns)
		item->verdict = SCHED_LATE;
	else
		*ret_left_ns = use_link(p, item->len, now_ns);
	return item;
}

int
policy_enqueue(struct policy *p, struct sched_item *item, uint64_t now_ns)
{
	assert(item->user < p->n_flows);
	return p->is_ranked ? ranked_enqueue(p, item) : sched_enqueue(&p->sched, item->user, item, now_ns);
}

struct sched_item *
policy_dequeue(struct policy *p, uint64_t *ret_left_ns, uint64_t now_ns)
{
	struct sched_item *item;

	if (p->is_ranked)
		return ranked_dequeue(p, ret_left_ns, now_ns);
	if (!sched_dequeue(&p->sched, &item, 1, now_ns))
		return NULL;
	if (item->verdict != SCHED_LATE)
		*ret_left_ns = p->sched.link.free_ns;
	return item;
}

bool
policy_next_ns(const struct policy *p, uint64_t *ret_ns, uint64_t now_ns)
{
	if (!p->is_ranked)
		return sched_next_ns(&p->sched, ret_ns, now_ns);
	if (edf_is_empty(&p->ranks))
		return false;
	*ret_ns = p->free_ns > now_ns ? p->free_ns : now_ns;
	return true;
}

uint64_t
policy_broken(const struct policy *p, uint32_t flow)
{
	return p->is_ranked ? 0 : p->sched.sender[flow].stats.broken_pkts;
}
