// What a flow table answered for the keys that come often: one look at a line of memory, or two,
// instead of one at each mask. As the exact-match cache of Open vSwitch (Pfaff et al., NSDI 2015,
// section 6). A key may be in two places. One thread uses a cache.
#pragma once

#include "rtvs/flow_digest.h"
#include "rtvs/flow_table.h"

struct __attribute__((aligned(64))) flow_cache_line {
	uint64_t word[FLOW_DIGEST_WORDS];
	uint64_t gen; // 0: none
	uint32_t slot;
	uint32_t is_key; // whose other words are in `rest`
};

struct flow_cache {
	uint32_t n; // places, a power of 2
	uint64_t seed;
	struct flow_cache_line *line;
	uint64_t (*rest)[FLOW_KEY_WORDS - FLOW_DIGEST_WORDS];
	uint64_t n_found, n_searched; // others may read them relaxed
};

// Bytes for n places, in memory that is aligned to 64. n: a power of 2, from 2.
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

// The first of two places. Products that do not wait for each other; the seed is in each factor, so
// that nobody can choose one that is 0.
static inline uint32_t
flow_cache_place(const struct flow_cache *c, const struct flow_digest *d)
{
	const uint64_t *w = d->word;
	uint64_t a = c->seed, b = c->seed ^ UINT64_C(0x9e3779b97f4a7c15);
	uint64_t h = flow_cache_fold(w[0] ^ a, w[1] ^ b) ^
		flow_cache_fold(w[2] ^ UINT64_C(0xd1b54a32d192ed03) ^ a, w[3] ^ b) ^
		flow_cache_fold(w[4] ^ UINT64_C(0xaef17502108ef2d9) ^ a, w[5] ^ b);

	if (d->is_key)
		h ^= flow_cache_fold(w[6] ^ UINT64_C(0xf1357aea2e62a9c5) ^ a, w[7] ^ b);
	return (uint32_t)(h ^ h >> 32) & (c->n - 2);
}

static inline bool
flow_cache_has(const struct flow_cache *c, uint32_t at, uint64_t gen, const struct flow_digest *d)
{
	const struct flow_cache_line *line = &c->line[at];
	uint64_t differs = (line->gen ^ gen) | (line->is_key ^ d->is_key);

	for (unsigned i = 0; i < FLOW_DIGEST_WORDS; i++)
		differs |= line->word[i] ^ d->word[i];
	if (d->is_key)
		for (unsigned i = FLOW_DIGEST_WORDS; i < FLOW_KEY_WORDS; i++)
			differs |= c->rest[at][i - FLOW_DIGEST_WORDS] ^ d->word[i];
	return !differs;
}

// What was put for this digest and table; else where to put it. gen: of the table, not 0, and never
// that of another one. inout_place: flow_cache_place.
static inline bool
flow_cache_get(
	struct flow_cache *c, uint64_t gen, const struct flow_digest *d, uint32_t *inout_place, uint32_t *ret_slot)
{
	uint32_t at = *inout_place;

	for (uint32_t i = at; i < at + 2; i++)
		if (flow_cache_has(c, i, gen, d)) {
			__atomic_store_n(&c->n_found, c->n_found + 1, __ATOMIC_RELAXED);
			*ret_slot = c->line[i].slot;
			return true;
		}
	__atomic_store_n(&c->n_searched, c->n_searched + 1, __ATOMIC_RELAXED);
	if (c->line[at].gen == gen) // one of no use, or either
		*inout_place = at + (c->line[at + 1].gen != gen || c->n_searched & 1);
	return false;
}

static inline void
flow_cache_put(struct flow_cache *c, uint32_t place, uint64_t gen, const struct flow_digest *d, uint32_t slot)
{
	c->line[place] = (struct flow_cache_line){.gen = gen, .slot = slot, .is_key = d->is_key};
	memcpy(c->line[place].word, d->word, sizeof(c->line[place].word));
	if (d->is_key)
		memcpy(c->rest[place], &d->word[FLOW_DIGEST_WORDS], sizeof(c->rest[place]));
}
