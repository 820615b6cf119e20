// What the rules of an ingress port say of its frames (rtvs/dp_rules.h). Workers only read a
// snapshot; they write counters, each its own, and what a limit has granted.
#pragma once

#include "rtvs/drop.h"
#include "rtvs/flow_cache.h"
#include "rtvs/flow_set.h"
#include "rtvs/guest_ring.h"
#include "rtvs/rate.h"

#include <rte_common.h>

struct rte_mbuf;
struct worker;

#define RULES_CACHE_PLACES 16384 // of each worker, for all ports

struct rule_count { // of one worker
	uint64_t packets, bytes;
	uint64_t copied_ns; // when a guest was last shown one; 0: never
} __rte_cache_aligned;

struct rule {
	struct flow_entry entry;
	bool is_plain; // it allows, and that is all
	bool writes, changes; // into headers; those, or tags
	struct rate_limit limit; // bytes/s
	uint64_t paid; // of the limit
	struct rule_count count[]; // by worker
};

struct rules {
	struct flow_table *table;
	uint64_t gen; // of the table, for caches
	uint32_t n_slots;
	struct rule *rule[]; // by slot, NULL: none
};

// NULL is accepted.
void rules_count(const struct worker *w, struct rule *rule, uint64_t packets, uint64_t bytes);
// A frame of a burst, as rules_look_ahead found it.
struct rules_ahead {
	struct flow_digest digest;
	uint32_t place; // of the digest in the worker's cache
	enum {
		RULES_KEY, // it has no digest
		RULES_DIGEST,
		RULES_SAME // as the one before, which is not repeated here
	} kind;
};

// Of a burst of n frames: what rules_pass needs of each is on its way to the cache.
void rules_look_ahead(struct worker *w, const struct rules *rules, const struct guest_frame *f, uint16_t n,
	struct rules_ahead *ret_ahead);
// Of a frame in a guest's ring, of a burst each after the one before. True: it leaves as it came,
// by the rule in *ret_rule (NULL: by none), which does not count it yet. False: rules_apply has to
// see it.
bool rules_pass(struct worker *w, const struct rules *rules, const struct guest_frame *f,
	const struct rules_ahead *ahead, struct rule **ret_rule);
// The rule for a packet, which counts it; NULL: there is none. *inout_m may be another packet then,
// or NULL: DROP_NO_BUFFER.
enum drop rules_find(struct worker *w, const struct rules *rules, struct rte_mbuf **inout_m, struct rule **ret_rule);
// What the rule does with it, but for outputs; drops by the reason that is returned. *inout_m may
// be another packet then, or NULL, and its headers are to be read again if the rule changes any.
enum drop rules_act(struct worker *w, struct rule *rule, struct rte_mbuf **inout_m);
