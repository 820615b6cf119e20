// MAC table of one bridge: (MAC, VLAN) -> port, learned by any worker without a lock, aged by one
// other thread. Caller-owned slots, no allocation, no clock: time is an argument, in whole seconds
// of any monotonic clock (32 bits). Set-associative: 4 entries of 16 bytes a bucket, one cache
// line, two candidate buckets a key, so lookups read at most two lines. Writers claim an entry with
// one compare-and-swap. A reader that races with a replacement sees the old entry, the new one or
// none, never a mixture. src/core/mac_table.c explains the method.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MAC_TABLE_WAYS 4
#define MAC_TABLE_NO_PORT 0xffff

struct mac_slot {
	_Atomic uint64_t key; // 0: free; MAC << 16 | VLAN << 4 | 1
	// last seen (s) << 32 | generation << 18 | static << 17 | live << 16 | port
	_Atomic uint64_t value;
};

struct mac_bucket {
	struct mac_slot way[MAC_TABLE_WAYS];
} __attribute__((aligned(64)));

struct mac_table {
	struct mac_bucket *buckets;
	uint32_t n_buckets; // a power of two
	_Atomic uint32_t limit; // entries at most, changed by one thread with mac_table_set_limit
	_Atomic uint32_t n_entries;
	// Of the hash, so that a guest cannot aim at one bucket; the seed of mac_table_init,
	// spread.
	uint64_t seed;
};

enum mac_learn {
	MAC_KNOWN, // was there, refreshed; or another worker is learning it at this moment
	MAC_LEARNED, // is new
	MAC_MOVED, // was on another port (ret_old_port)
	MAC_STATIC_ELSEWHERE, // static entry of another port: not changed
	MAC_FULL, // limit reached, or no room in its buckets: not learned
	MAC_REFUSED, // may_learn was false: not learned
};

// n_buckets zeroed buckets, a power of two, at least 2. -EINVAL
int mac_table_init(struct mac_table *t, struct mac_bucket *buckets, uint32_t n_buckets, uint32_t limit, uint32_t seed);
// How many buckets hold `limit` entries at a load of at most one half. A power of two, at least 16.
uint32_t mac_table_n_buckets(uint32_t limit);
// Fewer than there are: nothing is removed, nothing more is learned.
void mac_table_set_limit(struct mac_table *t, uint32_t limit);

// Any worker. mac: 48-bit number (frame.h), not multicast. Port or MAC_TABLE_NO_PORT.
uint16_t mac_table_find(const struct mac_table *t, uint64_t mac, uint16_t vlan);
// Any worker. Learns or refreshes. may_learn: false when the port is at its own limit (moves to the
// port are learning, too).
enum mac_learn mac_table_learn(struct mac_table *t, uint64_t mac, uint16_t vlan, uint16_t port, bool may_learn,
	uint16_t *ret_old_port, uint32_t now_s);

// One control thread. add_static: 0, -ENOSPC (no room); replaces a learned entry (ret_old_port: its
// port, or NO_PORT).
int mac_table_add_static(
	struct mac_table *t, uint64_t mac, uint16_t vlan, uint16_t port, uint16_t *ret_old_port, uint32_t now_s);
// -ENOENT; ret_port: where it was.
int mac_table_del(struct mac_table *t, uint64_t mac, uint16_t vlan, uint16_t *ret_port, bool *ret_is_static);

// Visits entries from *pos (bucket-major position) on: fills at most max, returns how many,
// advances *pos.
struct mac_entry {
	uint64_t mac;
	uint32_t seen_s;
	uint16_t vlan, port;
	bool is_static;
};
unsigned mac_table_list(const struct mac_table *t, uint32_t *pos, struct mac_entry *ret_entries, unsigned max);

// Removes the entries that the filter names, and reports each through gone_cb (NULL: no report):
// learned entries not seen for age_s (0: any age), of port (MAC_TABLE_NO_PORT: any), static ones
// only when with_static. Looks at n buckets from *pos on (wraps), so that a huge table is swept in
// pieces. Returns the number of removed entries.
typedef void mac_gone_fn(void *arg, const struct mac_entry *entry);
unsigned mac_table_sweep(struct mac_table *t, uint32_t *pos, uint32_t n_buckets, uint32_t age_s, uint16_t port,
	bool with_static, mac_gone_fn *gone_cb, void *arg, uint32_t now_s);
bool mac_table_is_consistent(const struct mac_table *t); // no writer may run: count, no duplicates
