// The cache gives the table's answers, whatever it has kept of other keys and tables.
#include "../unit.h"
#include "rtvs/flow_cache.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define N 16
#define N_KEYS 40 // more than places
#define N_RULES 8
#define N_FINDS 20000
#define N_TABLES 3

static struct flow_cache c;
static void *memory;

static void *
take(void *arg, size_t size)
{
	(void)arg;
	return malloc(size);
}

static void
give(void *arg, void *at, size_t size)
{
	(void)arg;
	(void)size;
	free(at);
}

static int
begin(void **state)
{
	(void)state;
	memory = aligned_alloc(64, flow_cache_memory_bytes(N));
	assert_non_null(memory);
	memset(memory, 0, flow_cache_memory_bytes(N));
	return !flow_cache_init(&c, N, memory, 77) ? 0 : -1;
}

static int
end(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

// Rules for some ports, the first of them with this slot.
static struct flow_table *
table(uint32_t first_slot)
{
	const struct flow_memory m = {.take = take, .give = give};
	struct flow_change changes[N_RULES];
	struct flow_table *empty, *t;

	for (uint16_t i = 0; i < N_RULES; i++)
		changes[i] = (struct flow_change){.is_add = true,
			.rule = {.key = {.l4_dst = i}, .mask = {.l4_dst = UINT16_MAX}, .slot = first_slot + i}};
	assert_int_equal(flow_table_create(&m, N_RULES, 1, 1, &empty), 0);
	assert_int_equal(flow_table_apply(empty, changes, N_RULES, &t), 0);
	flow_table_free(empty);
	return t;
}

static uint32_t
find(const struct flow_table *t, uint64_t gen, const struct flow_key *key)
{
	struct flow_digest digest;
	uint32_t place, slot;

	flow_digest_of_key(&digest, key);
	place = flow_cache_place(&c, &digest);
	if (!flow_cache_get(&c, gen, &digest, &place, &slot)) {
		slot = flow_table_find(t, key);
		flow_cache_put(&c, place, gen, &digest, slot);
	}
	return slot;
}

static void
answers_are_the_tables(void **state)
{
	uint64_t random = 3, *r = &random;
	struct flow_table *t[N_TABLES];

	(void)state;
	for (uint32_t i = 0; i < N_TABLES; i++)
		t[i] = table(100 * i);
	for (unsigned i = 0; i < N_FINDS; i++) {
		uint64_t which = random_below(r, N_TABLES), n = random_below(r, N_KEYS);
		struct flow_key key = {.l4_dst = (uint16_t)(n % 10), .in = (uint16_t)(n / 10)};

		assert_int_equal(find(t[which], which + 1, &key), flow_table_find(t[which], &key));
	}
	assert_int_equal(c.n_found + c.n_searched, N_FINDS);
	assert_true(c.n_found > 0);
	for (unsigned i = 0; i < N_TABLES; i++)
		flow_table_free(t[i]);
}

// Each word of a key counts, and the answer that there is no rule is kept, too.
static void
a_kept_answer_is_of_that_key_and_table_alone(void **state)
{
	struct flow_table *t = table(0), *other = table(100);
	struct flow_key key = {.l4_dst = UINT16_MAX};
	uint64_t n;

	(void)state;
	assert_int_equal(flow_cache_init(&c, 2, memory, 77), 0); // all keys have the same places
	assert_int_equal(find(t, 1, &key), FLOW_TABLE_NONE);
	assert_int_equal(find(t, 1, &key), FLOW_TABLE_NONE);
	assert_int_equal(c.n_found, 1);
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++) {
		key = (struct flow_key){.l4_dst = 1};
		assert_int_equal(find(t, 1, &key), 1);
		key.word[i] ^= UINT64_C(1) << 63;
		n = c.n_searched;
		(void)find(t, 1, &key);
		assert_int_equal(c.n_searched, n + 1);
	}
	key = (struct flow_key){.l4_dst = 1};
	(void)find(t, 1, &key);
	assert_int_equal(find(other, 2, &key), 101);
	flow_table_free(t);
	flow_table_free(other);
}

static void
sizes_are_powers_of_2(void **state)
{
	struct flow_cache other;

	(void)state;
	assert_int_equal(flow_cache_init(&other, 0, memory, 0), -EINVAL);
	assert_int_equal(flow_cache_init(&other, N - 1, memory, 0), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_are_the_tables, begin, end),
		cmocka_unit_test_setup_teardown(a_kept_answer_is_of_that_key_and_table_alone, begin, end),
		cmocka_unit_test_setup_teardown(sizes_are_powers_of_2, begin, end),
	};

	return cmocka_run_group_tests_name("core/flow_cache", tests, NULL, NULL);
}
