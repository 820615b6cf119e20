// Which places of an egress port's tables its senders have. A sender is an ingress port; it takes
// the lowest free place with its first packet. Those beyond SENDER_MAX have none of their own:
// SENDER_SHARED is the place of all of them. Never allocates; all zero is an empty table. One
// thread, the writer, adds and removes. Others may find and walk meanwhile: they see each place as
// it was a moment ago, and may miss one that is just being removed or moved in the map. Open
// addressing with linear probing, half full at most; removal moves back what lies behind (Knuth,
// volume 3, 6.4, algorithm R).
#pragma once

#include <stdint.h>

#define SENDER_MAX 1024u
#define SENDER_SHARED SENDER_MAX
#define SENDER_SLOTS (2 * SENDER_MAX)

struct sender_table {
	uint32_t n;
	uint64_t used[SENDER_MAX / 64]; // a bit for each place
	uint16_t port[SENDER_MAX]; // of a place that is used
	uint16_t slot[SENDER_SLOTS]; // the map: place + 1, 0: free
};

// The sender's place; SENDER_SHARED: it has none of its own.
uint32_t sender_table_find(const struct sender_table *t, uint16_t port);
// The sender, which has none yet, takes a place. SENDER_SHARED: all are taken.
uint32_t sender_table_add(struct sender_table *t, uint16_t port);
// The place is free again.
void sender_table_remove(struct sender_table *t, uint32_t place);
// The first place in use from `from` on; SENDER_SHARED: there is none.
uint32_t sender_table_next(const struct sender_table *t, uint32_t from);
// Who has a place that is in use.
uint16_t sender_table_port(const struct sender_table *t, uint32_t place);
