// MAC table of a bridge. Workers find and learn; one control thread adds, removes, lists and ages;
// no thread waits for a lock.
//
// A slot's life: a writer claims it (key 0 -> K by compare-and-swap), and stores a value with the
// live bit and the slot's next generation. The control thread ends the entry: it clears the live
// bit by compare-and-swap, which fixes the entry's last value, and then zeroes the key. So a
// generation belongs to one entry only. Each action of a reader or a worker on a value is checked
// against its generation. Only 2^14 replacements of a slot within one call could fool that check.
//
// No duplicates: a writer that has claimed a slot for K looks at K's other slots before it goes
// live. Claim and look are sequentially consistent, so of two claimers at least the later one sees
// the earlier. A writer that sees a claim in a slot before its own, or a live entry, gives up its
// claim. A writer that sees a claim behind its own waits for that claim's decision, a bounded time,
// then gives up, too. So one key never has two live entries.
//
// Cost: one multiply-mix, then one or two cache lines; a refresh stores once a second. Two choices
// of 4 ways (Azar, Broder, Karlin, Upfal 1999: the emptier bucket takes the new key) leave nearly
// no key without a slot at half load.
#include "rtvs/mac_table.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#define KEY_USED UINT64_C(1)
#define VALUE_LIVE (UINT64_C(1) << 16)
#define VALUE_STATIC (UINT64_C(1) << 17)
#define GENERATION_ONE (UINT64_C(1) << 18)
#define GENERATION_MASK UINT64_C(0xfffc0000)
#define N_SLOTS (2 * MAC_TABLE_WAYS) // where a key may be
#define MAX_TRIES 8 // of an insertion that meets other writers
#define MAX_LOOKS 64 // at another claim of the same key, about 0.5 us

struct places {
	struct mac_bucket *bucket[2];
};

// Multiply and fold, twice, with a secret in both factors: which keys share a bucket depends on the
// seed for any set of keys, however they are related.
static uint64_t
hash(uint64_t seed, uint64_t key)
{
	unsigned __int128 m = (unsigned __int128)(key ^ seed) * (seed | 1);
	uint64_t x = (uint64_t)m ^ (uint64_t)(m >> 64);

	m = (unsigned __int128)(x ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t
key_of(uint64_t mac, uint16_t vlan)
{
	return mac << 16 | (uint64_t)(vlan & 0xfff) << 4 | KEY_USED;
}

static uint64_t
value_of(uint64_t flags, uint16_t port, uint32_t now_s)
{
	return (uint64_t)now_s << 32 | flags | port;
}

static uint16_t
value_port(uint64_t value)
{
	return (uint16_t)value;
}

static uint32_t
value_seen_s(uint64_t value)
{
	return (uint32_t)(value >> 32);
}

static struct places
places_of(const struct mac_table *t, uint64_t key)
{
	uint64_t h = hash(t->seed, key);
	uint32_t mask = t->n_buckets - 1;
	uint32_t first = (uint32_t)h & mask;
	uint32_t second = (uint32_t)(h >> 32) & mask;

	if (second == first)
		second ^= 1;
	return (struct places){{&t->buckets[first], &t->buckets[second]}};
}

static struct mac_slot *
slot_at(const struct places *p, unsigned i)
{
	return &p->bucket[i / MAC_TABLE_WAYS]->way[i % MAC_TABLE_WAYS];
}

// The value of the live entry of key in the slot. Value, key, value: when both values are live and
// of one generation, the key seen between them is theirs.
static bool
slot_read(struct mac_slot *slot, uint64_t key, uint64_t *ret_value)
{
	uint64_t before = atomic_load_explicit(&slot->value, memory_order_acquire);

	if (!(before & VALUE_LIVE) || atomic_load_explicit(&slot->key, memory_order_acquire) != key)
		return false;
	uint64_t value = atomic_load_explicit(&slot->value, memory_order_acquire);
	if ((before ^ value) & (GENERATION_MASK | VALUE_LIVE))
		return false;
	*ret_value = value;
	return true;
}

static struct mac_slot *
slot_find(const struct places *p, uint64_t key, uint64_t *ret_value)
{
	for (unsigned b = 0; b < 2; b++)
		for (unsigned w = 0; w < MAC_TABLE_WAYS; w++) {
			struct mac_slot *slot = &p->bucket[b]->way[w];

			if (atomic_load_explicit(&slot->key, memory_order_relaxed) == key &&
				slot_read(slot, key, ret_value))
				return slot;
		}
	return NULL;
}

static bool
slot_swap(struct mac_slot *slot, uint64_t *value, uint64_t new_value)
{
	return atomic_compare_exchange_strong_explicit(
		&slot->value, value, new_value, memory_order_acq_rel, memory_order_acquire);
}

int
mac_table_init(struct mac_table *t, struct mac_bucket *buckets, uint32_t n_buckets, uint32_t limit, uint32_t seed)
{
	if (n_buckets < 2 || (n_buckets & (n_buckets - 1)))
		return -EINVAL;
	t->buckets = buckets;
	t->n_buckets = n_buckets;
	// Odd multipliers: different seeds stay different, and no seed becomes 0.
	t->seed = (seed + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd1342543de82ef95);
	atomic_init(&t->n_entries, 0);
	atomic_init(&t->limit, limit);
	return 0;
}

uint32_t
mac_table_n_buckets(uint32_t limit)
{
	uint32_t n = 16;

	while (n < UINT32_C(1) << 30 && (uint64_t)n * MAC_TABLE_WAYS < (uint64_t)limit * 2)
		n *= 2;
	return n;
}

void
mac_table_set_limit(struct mac_table *t, uint32_t limit)
{
	atomic_store_explicit(&t->limit, limit, memory_order_relaxed);
}

uint16_t
mac_table_find(const struct mac_table *t, uint64_t mac, uint16_t vlan)
{
	uint64_t key = key_of(mac, vlan);
	struct places p = places_of(t, key);
	uint64_t value;

	__builtin_prefetch(p.bucket[1]);
	return slot_find(&p, key, &value) ? value_port(value) : MAC_TABLE_NO_PORT;
}

// A free slot of the emptier bucket, the first one when they are equal.
static struct mac_slot *
slot_free(const struct places *p)
{
	struct mac_slot *slot[2] = {NULL, NULL};
	unsigned n_free[2] = {0, 0};

	for (unsigned b = 0; b < 2; b++)
		for (unsigned w = 0; w < MAC_TABLE_WAYS; w++)
			if (!atomic_load_explicit(&p->bucket[b]->way[w].key, memory_order_relaxed)) {
				slot[b] = &p->bucket[b]->way[w];
				n_free[b]++;
			}
	return slot[n_free[1] > n_free[0]];
}

// After a claim of `mine`: may it go live? See the top of this file.
static bool
claim_is_alone(const struct places *p, uint64_t key, const struct mac_slot *mine)
{
	for (unsigned look = 0; look < MAX_LOOKS; look++) {
		bool is_alone = true;
		bool is_before = true;

		for (unsigned i = 0; i < N_SLOTS; i++) {
			struct mac_slot *slot = slot_at(p, i);

			if (slot == mine) {
				is_before = false;
				continue;
			}
			if (atomic_load(&slot->key) != key)
				continue;
			if (is_before || (atomic_load(&slot->value) & VALUE_LIVE))
				return false;
			is_alone = false;
		}
		if (is_alone)
			return true;
	}
	return false;
}

enum insert {
	INSERTED,
	INSERT_FULL,
	INSERT_LOST
};

// One try. INSERT_LOST: another writer was faster; look again. The generation in a free slot's
// value is stable: only the claimer changes it.
static enum insert
insert(const struct places *p, uint64_t key, uint64_t flags, uint16_t port, uint32_t now_s)
{
	struct mac_slot *slot = slot_free(p);
	uint64_t free_key = 0;

	if (!slot)
		return INSERT_FULL;
	if (!atomic_compare_exchange_strong(&slot->key, &free_key, key))
		return INSERT_LOST;
	if (!claim_is_alone(p, key, slot)) {
		atomic_store(&slot->key, 0);
		return INSERT_LOST;
	}
	uint64_t generation = atomic_load_explicit(&slot->value, memory_order_relaxed) + GENERATION_ONE;
	atomic_store(&slot->value, value_of(flags | VALUE_LIVE | (generation & GENERATION_MASK), port, now_s));
	return INSERTED;
}

// Takes one of the entries that the limit permits. The load comes first: a guest that sends from
// ever new MACs at a full table costs no locked instruction.
static bool
count_up(struct mac_table *t)
{
	uint32_t limit = atomic_load_explicit(&t->limit, memory_order_relaxed);

	if (atomic_load_explicit(&t->n_entries, memory_order_relaxed) >= limit)
		return false;
	if (atomic_fetch_add_explicit(&t->n_entries, 1, memory_order_relaxed) < limit)
		return true;
	atomic_fetch_sub_explicit(&t->n_entries, 1, memory_order_relaxed);
	return false;
}

static void
count_down(struct mac_table *t)
{
	atomic_fetch_sub_explicit(&t->n_entries, 1, memory_order_relaxed);
}

static enum insert
insert_counted(struct mac_table *t, const struct places *p, uint64_t key, uint64_t flags, uint16_t port, uint32_t now_s)
{
	if (!count_up(t))
		return INSERT_FULL;
	enum insert result = insert(p, key, flags, port, now_s);
	if (result != INSERTED)
		count_down(t);
	return result;
}

// Writes only changed values. Time never goes back, so that two workers whose clocks differ do not
// store in turns. A refresh that loses against another writer is not repeated: that writer wrote at
// this moment.
static void
refresh(struct mac_slot *slot, uint64_t value, uint32_t now_s)
{
	if ((int32_t)(now_s - value_seen_s(value)) > 0)
		(void)slot_swap(slot, &value, (value & UINT32_MAX) | (uint64_t)now_s << 32);
}

// A worker's handling of a key that is new, or not where it was seen before.
static enum mac_learn
learn_slowly(struct mac_table *t, const struct places *p, uint64_t key, uint16_t port, bool may_learn,
	uint16_t *ret_old_port, uint32_t now_s)
{
	for (unsigned try = 0; try < MAX_TRIES; try++) {
		uint64_t value;
		struct mac_slot *slot = slot_find(p, key, &value);

		if (slot && value_port(value) == port) {
			refresh(slot, value, now_s);
			return MAC_KNOWN;
		}
		if (slot && (value & VALUE_STATIC))
			return MAC_STATIC_ELSEWHERE;
		if (!may_learn)
			return MAC_REFUSED;
		if (slot) {
			uint16_t old_port = value_port(value);

			if (!slot_swap(slot, &value, value_of(value & (GENERATION_MASK | VALUE_LIVE), port, now_s)))
				continue;
			*ret_old_port = old_port;
			return MAC_MOVED;
		}
		switch (insert_counted(t, p, key, 0, port, now_s)) {
		case INSERTED:
			return MAC_LEARNED;
		case INSERT_FULL:
			return MAC_FULL;
		case INSERT_LOST:
			break;
		}
	}
	return MAC_KNOWN;
}

enum mac_learn
mac_table_learn(struct mac_table *t, uint64_t mac, uint16_t vlan, uint16_t port, bool may_learn, uint16_t *ret_old_port,
	uint32_t now_s)
{
	uint64_t key = key_of(mac, vlan);
	struct places p = places_of(t, key);
	uint64_t value;

	__builtin_prefetch(p.bucket[1]);
	struct mac_slot *slot = slot_find(&p, key, &value);
	if (!slot || value_port(value) != port)
		return learn_slowly(t, &p, key, port, may_learn, ret_old_port, now_s);
	refresh(slot, value, now_s);
	return MAC_KNOWN;
}

// Repeats until it wins: a worker changes an entry at most once for each frame it receives, and
// claims of the same key end after MAX_LOOKS.
int
mac_table_add_static(
	struct mac_table *t, uint64_t mac, uint16_t vlan, uint16_t port, uint16_t *ret_old_port, uint32_t now_s)
{
	uint64_t key = key_of(mac, vlan);
	struct places p = places_of(t, key);

	for (;;) {
		uint64_t value;
		struct mac_slot *slot = slot_find(&p, key, &value);

		if (slot) {
			uint64_t flags = (value & GENERATION_MASK) | VALUE_LIVE | VALUE_STATIC;
			uint16_t old_port = value & VALUE_STATIC ? MAC_TABLE_NO_PORT : value_port(value);

			if (!slot_swap(slot, &value, value_of(flags, port, now_s)))
				continue;
			*ret_old_port = old_port;
			return 0;
		}
		switch (insert_counted(t, &p, key, VALUE_STATIC, port, now_s)) {
		case INSERTED:
			*ret_old_port = MAC_TABLE_NO_PORT;
			return 0;
		case INSERT_FULL:
			return -ENOSPC;
		case INSERT_LOST:
			break;
		}
	}
}

// Ends the entry whose last word was value. False: the entry has changed since. One thread only.
static bool
slot_clear(struct mac_table *t, struct mac_slot *slot, uint64_t value)
{
	if (!slot_swap(slot, &value, value & ~VALUE_LIVE))
		return false;
	atomic_store(&slot->key, 0);
	count_down(t);
	return true;
}

int
mac_table_del(struct mac_table *t, uint64_t mac, uint16_t vlan, uint16_t *ret_port, bool *ret_is_static)
{
	uint64_t key = key_of(mac, vlan);
	struct places p = places_of(t, key);
	struct mac_slot *slot;
	uint64_t value;

	do {
		slot = slot_find(&p, key, &value);
		if (!slot)
			return -ENOENT;
	} while (!slot_clear(t, slot, value));
	*ret_port = value_port(value);
	*ret_is_static = value & VALUE_STATIC;
	return 0;
}

// Any live entry in the slot.
static bool
slot_entry(struct mac_slot *slot, struct mac_entry *ret_entry, uint64_t *ret_value)
{
	uint64_t key = atomic_load_explicit(&slot->key, memory_order_acquire);
	uint64_t value;

	if (!key || !slot_read(slot, key, &value))
		return false;
	*ret_value = value;
	*ret_entry = (struct mac_entry){
		.mac = key >> 16,
		.seen_s = value_seen_s(value),
		.vlan = (uint16_t)(key >> 4 & 0xfff),
		.port = value_port(value),
		.is_static = value & VALUE_STATIC,
	};
	return true;
}

unsigned
mac_table_list(const struct mac_table *t, uint32_t *pos, struct mac_entry *ret_entries, unsigned max)
{
	uint64_t value;
	unsigned n = 0;

	for (; n < max && *pos / MAC_TABLE_WAYS < t->n_buckets; ++*pos) {
		struct mac_slot *slot = &t->buckets[*pos / MAC_TABLE_WAYS].way[*pos % MAC_TABLE_WAYS];

		n += slot_entry(slot, &ret_entries[n], &value);
	}
	return n;
}

static bool
entry_is_due(const struct mac_entry *entry, uint32_t age_s, uint16_t port, bool with_static, uint32_t now_s)
{
	if (entry->is_static)
		return with_static && (port == MAC_TABLE_NO_PORT || port == entry->port);
	// A worker's clock may be ahead of this thread's: then the entry is of age 0, not 2^32.
	int32_t entry_age_s = (int32_t)(now_s - entry->seen_s);

	return (port == MAC_TABLE_NO_PORT || port == entry->port) &&
		(!age_s || (entry_age_s > 0 && (uint32_t)entry_age_s >= age_s));
}

unsigned
mac_table_sweep(struct mac_table *t, uint32_t *pos, uint32_t n_buckets, uint32_t age_s, uint16_t port, bool with_static,
	mac_gone_fn *gone_cb, void *arg, uint32_t now_s)
{
	unsigned n_gone = 0;

	for (uint32_t i = 0; i < n_buckets; i++) {
		struct mac_bucket *bucket = &t->buckets[*pos & (t->n_buckets - 1)];

		*pos = (*pos + 1) & (t->n_buckets - 1);
		for (unsigned w = 0; w < MAC_TABLE_WAYS; w++) {
			struct mac_entry entry;
			uint64_t value;

			// An entry that changes between the look and the removal is looked at
			// again.
			while (slot_entry(&bucket->way[w], &entry, &value) &&
				entry_is_due(&entry, age_s, port, with_static, now_s)) {
				if (!slot_clear(t, &bucket->way[w], value))
					continue;
				n_gone++;
				if (gone_cb)
					gone_cb(arg, &entry);
			}
		}
	}
	return n_gone;
}

// The entry is in a bucket of its key, and in no other slot.
static bool
entry_is_placed(const struct mac_table *t, const struct mac_slot *slot, uint64_t key)
{
	struct places p = places_of(t, key);
	unsigned n_here = 0;
	unsigned n_all = 0;

	for (unsigned i = 0; i < N_SLOTS; i++) {
		struct mac_slot *other = slot_at(&p, i);

		n_here += other == slot;
		n_all += atomic_load(&other->key) == key;
	}
	return n_here == 1 && n_all == 1;
}

bool
mac_table_is_consistent(const struct mac_table *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n_buckets; i++)
		for (unsigned w = 0; w < MAC_TABLE_WAYS; w++) {
			struct mac_slot *slot = &t->buckets[i].way[w];
			uint64_t key = atomic_load(&slot->key);
			bool is_live = atomic_load(&slot->value) & VALUE_LIVE;

			if (!key != !is_live || (key && !entry_is_placed(t, slot, key)))
				return false;
			n += is_live;
		}
	return n == atomic_load(&t->n_entries);
}
