// A mask's rules are in a hash table with chains of indexes, so that it is copied with two memcpys
// and changed in place before others see it. In a chain, rules with the same key stand in the order
// in which they win: the first that matches is the one.
#include "rtvs/flow_table.h"

#include <errno.h>
#include <string.h>

#define NO_NODE UINT32_MAX
#define NODES_MIN 16 // a power of 2

struct node {
	uint64_t key[FLOW_KEY_WORDS]; // masked
	uint32_t hash;
	uint32_t next; // in the chain
	uint32_t priority, slot;
};

// The rules with one mask.
struct tuple {
	uint32_t n_refs; // tables that have it
	uint32_t highest; // priority
	uint32_t n, size; // nodes; the size is a power of 2, and that of `first`
	uint32_t *first; // by hash, of the chain
	struct node *node;
	struct flow_key mask;
	uint32_t n_words;
	uint8_t at[FLOW_KEY_WORDS]; // the mask's words that are not 0
};

struct flow_table {
	struct flow_memory memory;
	uint32_t n_rules, n_tuples, max_rules, max_tuples;
	uint64_t seed;
	struct tuple *tuple[FLOW_TABLE_MASKS_MAX]; // the highest priority first
};

_Static_assert(sizeof(struct flow_key) == FLOW_KEY_WORDS * sizeof(uint64_t), "keys have no padding");

// ---- tuples

static uint64_t
mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b | 1);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t
hash_of(const struct tuple *u, const uint64_t *key, uint64_t seed)
{
	uint64_t h = seed;

	for (uint32_t i = 0; i < u->n_words; i++)
		h = mix(h ^ (key[u->at[i]] & u->mask.word[u->at[i]]), seed);
	return (uint32_t)h ^ (uint32_t)(h >> 32);
}

static bool
has_key(const struct tuple *u, const struct node *node, const uint64_t *key)
{
	uint64_t differs = 0;

	for (uint32_t i = 0; i < u->n_words; i++)
		differs |= node->key[u->at[i]] ^ (key[u->at[i]] & u->mask.word[u->at[i]]);
	return !differs;
}

static const struct node *
find(const struct tuple *u, const uint64_t *key, uint64_t seed)
{
	uint32_t hash = hash_of(u, key, seed);

	for (uint32_t i = u->first[hash & (u->size - 1)]; i != NO_NODE; i = u->node[i].next)
		if (u->node[i].hash == hash && has_key(u, &u->node[i], key))
			return &u->node[i];
	return NULL;
}

static bool
wins(uint32_t priority, uint32_t slot, const struct node *over)
{
	return priority > over->priority || (priority == over->priority && slot < over->slot);
}

static void *
take(const struct flow_memory *m, size_t size)
{
	return m->take(m->arg, size);
}

static void
give(const struct flow_memory *m, void *at, size_t size)
{
	m->give(m->arg, at, size);
}

static void
tuple_unref(const struct flow_memory *m, struct tuple *u)
{
	if (--u->n_refs)
		return;
	give(m, u->first, u->size * sizeof(*u->first));
	give(m, u->node, u->size * sizeof(*u->node));
	give(m, u, sizeof(*u));
}

// Where the index of a rule's node stands, or would stand: before the first of its key with no
// higher priority, else at the chain's end.
static uint32_t *
place_of(struct tuple *u, const struct flow_rule *rule, uint32_t hash)
{
	uint32_t *at = &u->first[hash & (u->size - 1)];

	while (*at != NO_NODE) {
		const struct node *node = &u->node[*at];

		if (node->hash == hash && has_key(u, node, rule->key.word) && node->priority <= rule->priority)
			break;
		at = &u->node[*at].next;
	}
	return at;
}

static void
chain_all(struct tuple *u)
{
	memset(u->first, 0xff, u->size * sizeof(*u->first));
	for (uint32_t i = 0; i < u->n; i++) {
		struct flow_rule rule = {.priority = u->node[i].priority};
		uint32_t *at;

		memcpy(&rule.key, u->node[i].key, sizeof(rule.key));
		at = place_of(u, &rule, u->node[i].hash);
		u->node[i].next = *at;
		*at = i;
	}
}

// Memory for `size` nodes, without any in it.
static int
tuple_alloc(const struct flow_memory *m, struct tuple *u, uint32_t size)
{
	uint32_t *first = take(m, size * sizeof(*first));
	struct node *node = first ? take(m, size * sizeof(*node)) : NULL;

	if (!node) {
		give(m, first, size * sizeof(*first));
		return -ENOMEM;
	}
	u->first = first;
	u->node = node;
	u->size = size;
	return 0;
}

// Twice the memory. The tuple is as it was on failure.
static int
tuple_grow(const struct flow_memory *m, struct tuple *u)
{
	struct tuple old = *u;
	int rc = tuple_alloc(m, u, 2 * old.size);

	if (rc)
		return rc;
	memcpy(u->node, old.node, u->n * sizeof(*u->node));
	chain_all(u);
	give(m, old.first, old.size * sizeof(*old.first));
	give(m, old.node, old.size * sizeof(*old.node));
	return 0;
}

static struct tuple *
tuple_create(const struct flow_memory *m, const struct flow_key *mask)
{
	struct tuple *u = take(m, sizeof(*u));

	if (!u)
		return NULL;
	*u = (struct tuple){.n_refs = 1, .mask = *mask};
	if (tuple_alloc(m, u, NODES_MIN)) {
		give(m, u, sizeof(*u));
		return NULL;
	}
	chain_all(u);
	for (uint8_t i = 0; i < FLOW_KEY_WORDS; i++)
		if (mask->word[i])
			u->at[u->n_words++] = i;
	return u;
}

static struct tuple *
tuple_copy(const struct flow_memory *m, const struct tuple *from)
{
	struct tuple *u = take(m, sizeof(*u));

	if (!u)
		return NULL;
	*u = *from;
	u->n_refs = 1;
	if (tuple_alloc(m, u, from->size)) {
		give(m, u, sizeof(*u));
		return NULL;
	}
	memcpy(u->first, from->first, u->size * sizeof(*u->first));
	memcpy(u->node, from->node, u->n * sizeof(*u->node));
	return u;
}

// Not -EEXIST: the caller has looked.
static int
tuple_add(const struct flow_memory *m, struct tuple *u, const struct flow_rule *rule, uint32_t hash)
{
	uint32_t *at;
	int rc = u->n == u->size ? tuple_grow(m, u) : 0;

	if (rc)
		return rc;
	at = place_of(u, rule, hash);
	u->node[u->n] = (struct node){.hash = hash, .next = *at, .priority = rule->priority, .slot = rule->slot};
	memcpy(u->node[u->n].key, rule->key.word, sizeof(rule->key.word));
	*at = u->n++;
	return 0;
}

// at: of its index. The last node gets its place.
static void
tuple_del(struct tuple *u, uint32_t *at)
{
	uint32_t i = *at, last = u->n - 1, *of_last;

	*at = u->node[i].next;
	if (i != last) {
		of_last = &u->first[u->node[last].hash & (u->size - 1)];
		while (*of_last != last)
			of_last = &u->node[*of_last].next;
		*of_last = i;
		u->node[i] = u->node[last];
	}
	u->n--;
}

// The index of the rule with this key, mask and priority; NULL: there is none.
static uint32_t *
find_same(struct tuple *u, const struct flow_rule *rule, uint32_t hash)
{
	uint32_t *at = place_of(u, rule, hash);

	return *at != NO_NODE && u->node[*at].priority == rule->priority ? at : NULL;
}

// ---- tables

int
flow_table_create(const struct flow_memory *memory, uint32_t max_rules, uint32_t max_masks, uint64_t seed,
	struct flow_table **ret_table)
{
	struct flow_table *t;

	if (!max_rules || max_rules > FLOW_TABLE_RULES_MAX || !max_masks || max_masks > FLOW_TABLE_MASKS_MAX)
		return -EINVAL;
	t = take(memory, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct flow_table){.memory = *memory, .max_rules = max_rules, .max_tuples = max_masks, .seed = seed};
	*ret_table = t;
	return 0;
}

void
flow_table_free(struct flow_table *t)
{
	struct flow_memory m;

	if (!t)
		return;
	m = t->memory;
	for (uint32_t i = 0; i < t->n_tuples; i++)
		tuple_unref(&m, t->tuple[i]);
	give(&m, t, sizeof(*t));
}

static bool
is_valid(const struct flow_rule *rule)
{
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		if (rule->key.word[i] & ~rule->mask.word[i])
			return false;
	return rule->slot != FLOW_TABLE_NONE;
}

// The tuple of the mask in a table that is being made, so that it may be changed. NULL in *ret:
// there is none.
static int
own_tuple(struct flow_table *t, const struct flow_key *mask, struct tuple **ret_tuple)
{
	struct tuple *copy;

	*ret_tuple = NULL;
	for (uint32_t i = 0; i < t->n_tuples; i++) {
		if (memcmp(&t->tuple[i]->mask, mask, sizeof(*mask)))
			continue;
		if (t->tuple[i]->n_refs > 1) {
			copy = tuple_copy(&t->memory, t->tuple[i]);
			if (!copy)
				return -ENOMEM;
			tuple_unref(&t->memory, t->tuple[i]);
			t->tuple[i] = copy;
		}
		*ret_tuple = t->tuple[i];
		return 0;
	}
	return 0;
}

// Masks without rules.
static void
drop_empty(struct flow_table *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_tuples; i++) {
		if (t->tuple[i]->n)
			t->tuple[n++] = t->tuple[i];
		else
			tuple_unref(&t->memory, t->tuple[i]);
	}
	t->n_tuples = n;
}

// The result in change->ret; -ENOMEM.
static int
add(struct flow_table *t, struct flow_change *change)
{
	const struct flow_rule *rule = &change->rule;
	struct tuple *u;
	uint32_t hash;
	int rc = own_tuple(t, &rule->mask, &u);

	if (rc)
		return rc;
	if (u && find_same(u, rule, hash_of(u, rule->key.word, t->seed))) {
		change->ret = -EEXIST;
		return 0;
	}
	if (!u && t->n_tuples == t->max_tuples)
		drop_empty(t);
	change->ret = t->n_rules == t->max_rules ? -ENOSPC : !u && t->n_tuples == t->max_tuples ? -EMLINK : 0;
	if (change->ret)
		return 0;
	if (!u) {
		u = tuple_create(&t->memory, &rule->mask);
		if (!u)
			return -ENOMEM;
		t->tuple[t->n_tuples++] = u;
	}
	hash = hash_of(u, rule->key.word, t->seed);
	rc = tuple_add(&t->memory, u, rule, hash);
	t->n_rules += !rc;
	return rc;
}

static int
del(struct flow_table *t, struct flow_change *change)
{
	struct tuple *u;
	uint32_t *at;
	int rc = own_tuple(t, &change->rule.mask, &u);

	if (rc)
		return rc;
	at = u ? find_same(u, &change->rule, hash_of(u, change->rule.key.word, t->seed)) : NULL;
	change->ret = at ? 0 : -ENOENT;
	if (at) {
		tuple_del(u, at);
		t->n_rules--;
	}
	return 0;
}

// Masks come into their order.
static void
finish(struct flow_table *t)
{
	drop_empty(t);
	for (uint32_t i = 0; i < t->n_tuples; i++) {
		struct tuple *u = t->tuple[i];
		uint32_t at = i;

		if (u->n_refs == 1) { // else it is as it was
			u->highest = 0;
			for (uint32_t k = 0; k < u->n; k++)
				u->highest = u->node[k].priority > u->highest ? u->node[k].priority : u->highest;
		}
		for (; at && t->tuple[at - 1]->highest < u->highest; at--)
			t->tuple[at] = t->tuple[at - 1];
		t->tuple[at] = u;
	}
}

int
flow_table_apply(const struct flow_table *from, struct flow_change *changes, size_t n, struct flow_table **ret_table)
{
	struct flow_table *t = take(&from->memory, sizeof(*t));
	int rc = t ? 0 : -ENOMEM;

	if (rc)
		return rc;
	*t = *from;
	for (uint32_t i = 0; i < t->n_tuples; i++)
		t->tuple[i]->n_refs++;
	for (size_t i = 0; !rc && i < n; i++) {
		changes[i].ret = changes[i].is_add && !is_valid(&changes[i].rule) ? -EINVAL : 0;
		if (!changes[i].ret)
			rc = changes[i].is_add ? add(t, &changes[i]) : del(t, &changes[i]);
	}
	if (rc) {
		flow_table_free(t);
		return rc;
	}
	finish(t);
	*ret_table = t;
	return 0;
}

uint32_t
flow_table_n_rules(const struct flow_table *t)
{
	return t->n_rules;
}

uint32_t
flow_table_n_masks(const struct flow_table *t)
{
	return t->n_tuples;
}

void
flow_table_each(const struct flow_table *t, void (*fn_cb)(void *arg, const struct flow_rule *rule), void *arg)
{
	for (uint32_t i = 0; i < t->n_tuples; i++) {
		const struct tuple *u = t->tuple[i];

		for (uint32_t k = 0; k < u->n; k++) {
			struct flow_rule rule = {
				.mask = u->mask, .priority = u->node[k].priority, .slot = u->node[k].slot};

			memcpy(rule.key.word, u->node[k].key, sizeof(rule.key.word));
			fn_cb(arg, &rule);
		}
	}
}

uint32_t
flow_table_find(const struct flow_table *t, const struct flow_key *key)
{
	const struct node *best = NULL, *node;

	for (uint32_t i = 0; i < t->n_tuples; i++) {
		if (best && best->priority > t->tuple[i]->highest)
			break;
		node = find(t->tuple[i], key->word, t->seed);
		if (node && (!best || wins(node->priority, node->slot, best)))
			best = node;
	}
	return best ? best->slot : FLOW_TABLE_NONE;
}
