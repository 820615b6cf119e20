// The places of senders, of rtvs/sender_table.h: a bitmap says which are free, a hash map where a
// port's is. All steps take O(1) but for the bitmap's 16 words. Invariant: from the slot where a
// port's hash points to the slot that has it, none is free.
#include "rtvs/sender_table.h"

#include <assert.h>

#define MASK (SENDER_SLOTS - 1)
#define HASH_SHIFT (32 - 11)

_Static_assert(SENDER_SLOTS == 1 << (32 - HASH_SHIFT), "the hash has as many bits as slots need");
_Static_assert(SENDER_MAX % 64 == 0, "words of the bitmap");

static uint32_t
hash_of(uint16_t port)
{
	return port * UINT32_C(0x9e3779b1) >> HASH_SHIFT;
}

static uint16_t
load(const uint16_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static void
store(uint16_t *value, uint32_t to)
{
	__atomic_store_n(value, (uint16_t)to, __ATOMIC_RELAXED);
}

static void
set_used(struct sender_table *t, uint32_t place, uint64_t bit)
{
	uint64_t word = (t->used[place / 64] & ~(UINT64_C(1) << place % 64)) | bit << place % 64;

	__atomic_store_n(&t->used[place / 64], word, __ATOMIC_RELEASE);
}

uint16_t
sender_table_port(const struct sender_table *t, uint32_t place)
{
	return load(&t->port[place]);
}

uint32_t
sender_table_find(const struct sender_table *t, uint16_t port)
{
	uint32_t at = hash_of(port);

	for (uint32_t n = 0; n < SENDER_SLOTS; n++, at = (at + 1) & MASK) {
		uint32_t place = load(&t->slot[at]);

		if (!place)
			break;
		if (load(&t->port[place - 1]) == port)
			return place - 1;
	}
	return SENDER_SHARED;
}

uint32_t
sender_table_add(struct sender_table *t, uint16_t port)
{
	uint32_t place = 0, at = hash_of(port);

	assert(sender_table_find(t, port) == SENDER_SHARED);
	if (t->n == SENDER_MAX)
		return SENDER_SHARED;
	while (t->used[place / 64] == UINT64_MAX)
		place += 64;
	place += (uint32_t)__builtin_ctzll(~t->used[place / 64]);
	while (t->slot[at])
		at = (at + 1) & MASK;
	t->n++;
	store(&t->port[place], port);
	store(&t->slot[at], place + 1);
	set_used(t, place, 1);
	return place;
}

void
sender_table_remove(struct sender_table *t, uint32_t place)
{
	uint32_t at = hash_of(t->port[place]), next;

	assert(t->used[place / 64] >> place % 64 & 1);
	while (t->slot[at] != place + 1)
		at = (at + 1) & MASK;
	set_used(t, place, 0);
	t->n--;
	for (next = (at + 1) & MASK; t->slot[next]; next = (next + 1) & MASK) {
		uint32_t home = hash_of(t->port[t->slot[next] - 1u]);

		// It may move back as far as its home.
		if (((next - home) & MASK) < ((next - at) & MASK))
			continue;
		store(&t->slot[at], t->slot[next]);
		at = next;
	}
	store(&t->slot[at], 0);
}

uint32_t
sender_table_next(const struct sender_table *t, uint32_t from)
{
	for (uint32_t i = from / 64; i < SENDER_MAX / 64; i++, from = i * 64) {
		uint64_t bits = __atomic_load_n(&t->used[i], __ATOMIC_ACQUIRE) >> from % 64;

		if (bits)
			return from + (uint32_t)__builtin_ctzll(bits);
	}
	return SENDER_SHARED;
}
