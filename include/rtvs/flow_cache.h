// What a flow table answered for the keys that come often: one look at a line of memory instead of
// one at each mask. A key has one place, and the latest has it. As the exact-match cache of Open
// vSwitch (Pfaff et al., NSDI 2015, section 6). One thread uses a cache.
#pragma once

#include "rtvs/flow_table.h"

#include <stdbool.h>

struct flow_cache_answer {
	uint64_t gen; // 0: none
	uint32_t slot;
};

struct flow_cache {
	uint32_t n; // places, a power of 2
	uint64_t seed;
	struct flow_key *key;
	struct flow_cache_answer *answer;
	uint64_t n_found, n_searched; // others may read them relaxed
};

// Bytes for n places, in memory that is aligned to 64. n: a power of 2.
size_t flow_cache_memory_bytes(uint32_t n);
// memory: zeroed, the caller's as long as the cache is used. seed: any, unknown to who may choose
// packets. -EINVAL.
int flow_cache_init(struct flow_cache *c, uint32_t n, void *memory, uint64_t seed);

static inline uint64_t
flow_cache_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Four products at a time: they do not wait for each other. The seed is in each factor, so that
// nobody can choose one that is 0.
static inline uint32_t
flow_cache_place(const struct flow_cache *c, const struct flow_key *key)
{
	const uint64_t *w = key->word;
	uint64_t a = c->seed, b = c->seed ^ UINT64_C(0x9e3779b97f4a7c15);
	uint64_t h = flow_cache_fold(w[0] ^ a, w[1] ^ b) ^
		flow_cache_fold(w[2] ^ UINT64_C(0xd1b54a32d192ed03) ^ a, w[3] ^ b) ^
		flow_cache_fold(w[4] ^ UINT64_C(0xaef17502108ef2d9) ^ a, w[5] ^ b) ^
		flow_cache_fold(w[6] ^ UINT64_C(0xf1357aea2e62a9c5) ^ a, w[7] ^ b);

	return (uint32_t)(h ^ h >> 32) & (c->n - 1);
}

static inline bool
flow_cache_has(const struct flow_key *a, const struct flow_key *b)
{
	uint64_t differs = 0;

	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		differs |= a->word[i] ^ b->word[i];
	return !differs;
}

// What was put for this key and table; else where to put it. gen: of the table, not 0, and never
// that of another one. key: or other words that stand for one (flow_key_digest).
static inline bool
flow_cache_get(struct flow_cache *c, uint64_t gen, const struct flow_key *key, uint32_t *ret_place, uint32_t *ret_slot)
{
	uint32_t at = flow_cache_place(c, key);

	*ret_place = at;
	*ret_slot = c->answer[at].slot;
	if (c->answer[at].gen == gen && flow_cache_has(&c->key[at], key)) {
		__atomic_store_n(&c->n_found, c->n_found + 1, __ATOMIC_RELAXED);
		return true;
	}
	__atomic_store_n(&c->n_searched, c->n_searched + 1, __ATOMIC_RELAXED);
	return false;
}

static inline void
flow_cache_put(struct flow_cache *c, uint32_t place, uint64_t gen, const struct flow_key *key, uint32_t slot)
{
	c->key[place] = *key;
	c->answer[place] = (struct flow_cache_answer){.gen = gen, .slot = slot};
}
