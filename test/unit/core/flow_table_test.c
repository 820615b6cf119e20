// The flow table beside a list that is searched from its begin to its end, after random changes.
// Fields have few values, so that rules overlap and keys are equal.
#include "../unit.h"
#include "rtvs/flow_table.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEED UINT64_C(0x5eed)
#define N_STEPS 400
#define N_CHANGES 60 // of a step, at most
#define N_FINDS 300 // after each
#define MANY 4096

static size_t n_bytes; // that tables have
static long n_allocs_left = -1; // until one fails; -1: none does

static void *
alloc(void *arg, size_t size)
{
	(void)arg;
	if (!n_allocs_left)
		return NULL;
	n_allocs_left -= n_allocs_left > 0;
	n_bytes += size;
	return malloc(size);
}

static void
release(void *arg, void *at, size_t size)
{
	(void)arg;
	n_bytes -= at ? size : 0;
	free(at);
}

static const struct flow_memory memory = {.take = alloc, .give = release};

struct list {
	struct flow_rule rule[MANY];
	unsigned n;
};

static bool
is_same(const struct flow_rule *a, const struct flow_rule *b)
{
	return !memcmp(&a->key, &b->key, sizeof(a->key)) && !memcmp(&a->mask, &b->mask, sizeof(a->mask)) &&
		a->priority == b->priority;
}

static unsigned
index_of(const struct list *l, const struct flow_rule *rule)
{
	unsigned i = 0;

	while (i < l->n && !is_same(&l->rule[i], rule))
		i++;
	return i;
}

static unsigned
n_masks(const struct list *l)
{
	unsigned n = 0, k;

	for (unsigned i = 0; i < l->n; i++) {
		for (k = 0; k < i; k++)
			if (!memcmp(&l->rule[i].mask, &l->rule[k].mask, sizeof(l->rule[i].mask)))
				break;
		n += k == i;
	}
	return n;
}

static uint32_t
find_in_list(const struct list *l, const struct flow_key *key)
{
	const struct flow_rule *best = NULL;

	for (unsigned i = 0; i < l->n; i++) {
		const struct flow_rule *rule = &l->rule[i];
		bool matches = true;

		for (unsigned w = 0; w < FLOW_KEY_WORDS; w++)
			matches = matches && (key->word[w] & rule->mask.word[w]) == rule->key.word[w];
		if (matches &&
			(!best || rule->priority > best->priority ||
				(rule->priority == best->priority && rule->slot < best->slot)))
			best = rule;
	}
	return best ? best->slot : FLOW_TABLE_NONE;
}

static struct flow_key
random_key(uint64_t *r)
{
	struct flow_key key = {.in = (uint16_t)random_below(r, 3), .ip_proto = (uint8_t)random_below(r, 2)};

	key.eth_dst[5] = (uint8_t)random_below(r, 3);
	key.ip_src[3] = (uint8_t)random_below(r, 4);
	key.ip_dst[15] = (uint8_t)random_below(r, 2);
	key.l4_dst = (uint16_t)random_below(r, 4);
	return key;
}

// One of FLOW_TABLE_MASKS_MAX.
static struct flow_key
random_mask(uint64_t *r)
{
	struct flow_key mask = {.in = random_below(r, 2) ? UINT16_MAX : 0};

	mask.ip_proto = random_below(r, 2) ? UINT8_MAX : 0;
	mask.ip_src[3] = (uint8_t)random_below(r, 4);
	mask.l4_dst = random_below(r, 2) ? 3 : 0;
	return mask;
}

static struct flow_rule
random_rule(uint64_t *r)
{
	struct flow_rule rule = {.key = random_key(r),
		.mask = random_mask(r),
		.priority = (uint32_t)random_below(r, 6),
		.slot = (uint32_t)random_below(r, 1000)};

	for (unsigned w = 0; w < FLOW_KEY_WORDS; w++)
		rule.key.word[w] &= rule.mask.word[w];
	return rule;
}

static struct flow_table *
table(uint32_t max_rules, uint32_t max_masks)
{
	struct flow_table *t;

	assert_int_equal(flow_table_create(&memory, max_rules, max_masks, SEED, &t), 0);
	return t;
}

static int
change(struct flow_table **t, bool is_add, const struct flow_rule *rule)
{
	struct flow_change c = {.rule = *rule, .is_add = is_add, .ret = 1};
	struct flow_table *next;

	assert_int_equal(flow_table_apply(*t, &c, 1, &next), 0);
	flow_table_free(*t);
	*t = next;
	return c.ret;
}

static void
assert_same(const struct flow_table *t, const struct list *l, uint64_t *r)
{
	assert_int_equal(flow_table_n_rules(t), l->n);
	for (unsigned i = 0; i < N_FINDS; i++) {
		struct flow_key key = random_key(r);

		assert_int_equal(flow_table_find(t, &key), find_in_list(l, &key));
	}
}

static void
change_list(struct list *l, const struct flow_change *c)
{
	unsigned i = index_of(l, &c->rule);

	assert_int_equal(c->ret, c->is_add ? (i < l->n ? -EEXIST : 0) : i < l->n ? 0 : -ENOENT);
	if (c->ret)
		return;
	if (c->is_add)
		l->rule[l->n++] = c->rule;
	else
		l->rule[i] = l->rule[--l->n];
}

// Also of the table before, which others may still search.
static void
is_as_a_list_after_each_change(void **state)
{
	static struct list list, before;
	uint64_t random = 1, *r = &random;
	struct flow_table *t = table(FLOW_TABLE_RULES_MAX, FLOW_TABLE_MASKS_MAX), *next;

	(void)state;
	list.n = 0;
	for (unsigned step = 0; step < N_STEPS; step++) {
		struct flow_change changes[N_CHANGES];
		size_t n = (size_t)random_below(r, N_CHANGES + 1);
		bool grows = step % 100 < 60;

		for (size_t i = 0; i < n; i++) {
			bool is_add = random_below(r, 10) < (grows ? 8 : 2);
			bool is_known = list.n && random_below(r, 10) < (is_add ? 1 : 9);

			changes[i] = (struct flow_change){
				.rule = is_known ? list.rule[random_below(r, list.n)] : random_rule(r),
				.is_add = is_add,
				.ret = 1};
		}
		before = list;
		assert_int_equal(flow_table_apply(t, changes, n, &next), 0);
		for (size_t i = 0; i < n; i++)
			change_list(&list, &changes[i]);
		assert_same(next, &list, r);
		assert_same(t, &before, r);
		assert_int_equal(flow_table_n_masks(next), n_masks(&list));
		flow_table_free(t);
		t = next;
	}
	flow_table_free(t);
}

static void
note_rule(void *arg, const struct flow_rule *rule)
{
	struct list *l = arg;

	l->rule[l->n++] = *rule;
}

static void
all_rules_are_told_once(void **state)
{
	static struct list list, told;
	uint64_t random = 2, *r = &random;
	struct flow_table *t = table(FLOW_TABLE_RULES_MAX, FLOW_TABLE_MASKS_MAX);

	(void)state;
	list.n = told.n = 0;
	for (unsigned i = 0; i < 200; i++) {
		struct flow_rule rule = random_rule(r);

		if (!change(&t, true, &rule))
			list.rule[list.n++] = rule;
	}
	flow_table_each(t, note_rule, &told);
	assert_int_equal(told.n, list.n);
	for (unsigned i = 0; i < list.n; i++) {
		unsigned at = index_of(&told, &list.rule[i]);

		assert_true(at < told.n && told.rule[at].slot == list.rule[i].slot);
	}
	flow_table_free(t);
}

static struct flow_rule
rule_of_port(uint16_t in, uint32_t slot)
{
	return (struct flow_rule){.key = {.in = in}, .mask = {.in = UINT16_MAX}, .priority = 1, .slot = slot};
}

// Many rules of one mask, at the limit and beyond it.
static void
there_are_as_many_rules_as_the_limit(void **state)
{
	struct flow_table *t = table(MANY, 1);
	struct flow_rule rule;

	(void)state;
	for (uint16_t i = 0; i < MANY; i++) {
		rule = rule_of_port(i, i);
		assert_int_equal(change(&t, true, &rule), 0);
	}
	rule = rule_of_port(MANY, MANY);
	assert_int_equal(change(&t, true, &rule), -ENOSPC);
	for (uint16_t i = 0; i < MANY; i++) {
		struct flow_key key = {.in = i, .l4_dst = i};

		assert_int_equal(flow_table_find(t, &key), i);
	}
	rule = rule_of_port(0, 0);
	assert_int_equal(change(&t, false, &rule), 0);
	rule = rule_of_port(MANY, MANY);
	assert_int_equal(change(&t, true, &rule), 0);
	flow_table_free(t);
}

static struct flow_rule
rule_of_mask(unsigned bit)
{
	struct flow_rule rule = {.priority = bit, .slot = bit};

	rule.mask.word[3] = UINT64_C(1) << bit;
	return rule;
}

static void
there_are_as_many_masks_as_the_limit(void **state)
{
	struct flow_table *t = table(FLOW_TABLE_RULES_MAX, FLOW_TABLE_MASKS_MAX), *next;
	struct flow_change both[2] = {
		{.rule = rule_of_mask(0)}, {.rule = rule_of_mask(FLOW_TABLE_MASKS_MAX), .is_add = true}};
	struct flow_rule rule;

	(void)state;
	for (unsigned i = 0; i < FLOW_TABLE_MASKS_MAX; i++) {
		rule = rule_of_mask(i);
		assert_int_equal(change(&t, true, &rule), 0);
	}
	assert_int_equal(change(&t, true, &both[1].rule), -EMLINK);
	// The place of one that goes in the same change is free.
	assert_int_equal(flow_table_apply(t, both, 2, &next), 0);
	assert_int_equal(both[0].ret, 0);
	assert_int_equal(both[1].ret, 0);
	assert_int_equal(flow_table_n_masks(next), FLOW_TABLE_MASKS_MAX);
	assert_int_equal(flow_table_find(next, &(struct flow_key){0}), FLOW_TABLE_MASKS_MAX);
	flow_table_free(t);
	flow_table_free(next);
}

static void
wrong_rules_and_sizes_are_refused(void **state)
{
	struct flow_table *t = table(1, 1);
	struct flow_rule rule = rule_of_port(1, FLOW_TABLE_NONE);

	(void)state;
	assert_int_equal(change(&t, true, &rule), -EINVAL);
	rule = rule_of_port(1, 1);
	rule.key.l4_dst = 1; // outside the mask
	assert_int_equal(change(&t, true, &rule), -EINVAL);
	assert_int_equal(flow_table_n_rules(t), 0);
	flow_table_free(t);
	assert_int_equal(flow_table_create(&memory, 0, 1, SEED, &t), -EINVAL);
	assert_int_equal(flow_table_create(&memory, 1, 0, SEED, &t), -EINVAL);
	assert_int_equal(flow_table_create(&memory, FLOW_TABLE_RULES_MAX + 1, 1, SEED, &t), -EINVAL);
	assert_int_equal(flow_table_create(&memory, 1, FLOW_TABLE_MASKS_MAX + 1, SEED, &t), -EINVAL);
}

// Whichever allocation it is: the table is as it was, and nothing is lost.
static void
without_memory_nothing_changes(void **state)
{
	struct flow_table *t = table(MANY, 4), *next;
	struct flow_change changes[40];
	size_t before;
	unsigned n_failures = 0;
	int rc;

	(void)state;
	for (uint16_t i = 0; i < 16; i++) {
		struct flow_rule rule = rule_of_port(i, i);

		assert_int_equal(change(&t, true, &rule), 0);
	}
	before = n_bytes;
	for (;; n_failures++) {
		for (uint16_t i = 0; i < 40; i++)
			changes[i] = (struct flow_change){
				.rule = i % 8 ? rule_of_port(100 + i, i) : rule_of_mask(i / 16), .is_add = true};
		n_allocs_left = n_failures;
		rc = flow_table_apply(t, changes, 40, &next);
		n_allocs_left = -1;
		if (!rc)
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_int_equal(n_bytes, before);
		assert_int_equal(flow_table_n_rules(t), 16);
		for (uint16_t i = 0; i < 16; i++)
			assert_int_equal(flow_table_find(t, &(struct flow_key){.in = i}), i);
	}
	// A table, a copy, twice the memory of that, twice more; and three masks.
	assert_true(n_failures > 10);
	flow_table_free(next);
	assert_int_equal(n_bytes, before);
	flow_table_free(t);
	n_allocs_left = 0;
	assert_int_equal(flow_table_create(&memory, 1, 1, SEED, &t), -ENOMEM);
	n_allocs_left = -1;
}

static int
nothing_is_left(void **state)
{
	(void)state;
	return n_bytes ? -1 : 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_as_a_list_after_each_change),
		cmocka_unit_test(all_rules_are_told_once),
		cmocka_unit_test(there_are_as_many_rules_as_the_limit),
		cmocka_unit_test(there_are_as_many_masks_as_the_limit),
		cmocka_unit_test(wrong_rules_and_sizes_are_refused),
		cmocka_unit_test(without_memory_nothing_changes),
	};

	return cmocka_run_group_tests_name("core/flow_table", tests, NULL, nothing_is_left);
}
