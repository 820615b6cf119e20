// A histogram comes back as it was; one whose totals are not those of its counters does not.
#include "../unit.h"
#include "state_hist.h"

#include <stdlib.h>
#include <string.h>

// Places in the payload, in words of 64 bits: totals, sub_bits with n_buckets, then number and n of
// each.
enum {
	AT_COUNT,
	AT_SUM,
	AT_MAX,
	AT_SHAPE,
	AT_FIRST,
	AT_FIRST_N,
	AT_SECOND,
	AT_SECOND_N,
	N_WORDS
};

static struct hist before, after;

static bool
take(const void *bytes, size_t len)
{
	struct state_record record = {.at = bytes, .left = len};

	return state_hist_take(&record, &after) && !record.left;
}

static struct state_writer
put(void)
{
	struct state_writer w = {.rc = 0};

	hist_init(&before);
	hist_add_n(&before, 3, 5);
	hist_add(&before, 1000000);
	state_hist_put(&w, &before);
	assert_int_equal(w.rc, 0);
	assert_int_equal(w.len, N_WORDS * sizeof(uint64_t));
	return w;
}

static void
histogram_comes_back(void **state)
{
	struct state_writer w = put();

	(void)state;
	assert_true(take(w.bytes, w.len));
	assert_memory_equal(&before, &after, sizeof(before));
	free(w.bytes);
	w = (struct state_writer){.rc = 0};
	hist_init(&before);
	state_hist_put(&w, &before);
	assert_true(take(w.bytes, w.len));
	assert_memory_equal(&before, &after, sizeof(before));
	free(w.bytes);
}

static void
every_value_comes_back(void **state)
{
	struct state_writer w = {.rc = 0};

	(void)state;
	hist_init(&before);
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		hist_add(&before, hist_bucket_high(i));
	state_hist_put(&w, &before);
	assert_true(take(w.bytes, w.len));
	assert_memory_equal(&before, &after, sizeof(before));
	free(w.bytes);
}

static void
lies_are_refused(void **state)
{
	static const struct {
		unsigned word;
		uint64_t value;
	} lies[] = {
		{AT_COUNT, 5},
		{AT_COUNT, 7},
		{AT_MAX, 1},
		{AT_MAX, UINT64_MAX},
		{AT_SHAPE, UINT64_C(2) << 32 | (HIST_SUB_BITS + 1)},
		{AT_SHAPE, UINT64_C(1) << 32 | HIST_SUB_BITS},
		{AT_SHAPE, UINT64_C(3) << 32 | HIST_SUB_BITS},
		{AT_SHAPE, (uint64_t)UINT32_MAX << 32 | HIST_SUB_BITS},
		{AT_FIRST, HIST_BUCKETS},
		{AT_FIRST, UINT64_C(1) << 32 | 3},
		{AT_FIRST_N, 0},
		{AT_SECOND, 3}, // as the first
		{AT_SECOND, HIST_BUCKETS},
	};
	struct state_writer w = put();

	(void)state;
	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint64_t words[N_WORDS];

		memcpy(words, w.bytes, sizeof(words));
		words[lies[i].word] = lies[i].value;
		if (take(words, sizeof(words)))
			fail_msg("lie %u is accepted", i);
	}
	for (size_t len = 0; len < w.len; len++)
		assert_false(take(w.bytes, len));
	free(w.bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histogram_comes_back),
		cmocka_unit_test(every_value_comes_back),
		cmocka_unit_test(lies_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
