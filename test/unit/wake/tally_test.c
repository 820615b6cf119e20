// Figures of stages, and which of them is blamed.
#include "../unit.h"
#include "tally.h"

#include <string.h>

static struct tally t;

static void
add(uint64_t wake_ns, uint64_t answer_ns, uint32_t depth)
{
	const struct stages_chain chain = {.put_ns = 5, .depth = depth, .is_kicked = true, .prewoken_ns = depth > 2};
	const struct stages s = {.ns = {[STAGE_WAKE] = wake_ns, [STAGE_ANSWER] = answer_ns},
		.total_ns = wake_ns + answer_ns,
		.is_running = !wake_ns};

	tally_add(&t, STAGES_ANSWERED, &s, &chain, depth * 100);
}

static void
figures_are_those_of_the_values(void **state)
{
	struct tally_figures f;

	(void)state;
	tally_init(&t);
	for (unsigned i = 0; i < 100; i++)
		add(i < 98 ? 1000 : 1000000, 7, i % 4);
	f = tally_figures(&t.answered.stages[STAGE_WAKE]);
	assert_int_equal(f.count, 100);
	assert_int_equal(f.min, 1000);
	assert_in_range(f.p50, 1000, 1062);
	assert_in_range(f.p90, 1000, 1062);
	assert_in_range(f.p99, 940000, 1000000);
	assert_int_equal(f.max, 1000000);
	assert_int_equal(f.mean, (98 * 1000 + 2 * 1000000) / 100);
	assert_int_equal(tally_sum_of_means(&t.answered), tally_figures(&t.answered.total).mean);
	assert_int_equal(t.answered.kicked, 100);
	assert_int_equal(t.answered.prewoken, 25);
	assert_int_equal(t.depths.n, 100);
	assert_int_equal(tally_figures(&t.depth).max, 3);
}

static void
the_stage_that_fluctuates_most_is_found(void **state)
{
	struct tally_worst worst;

	(void)state;
	tally_init(&t);
	assert_false(tally_worst(&t.answered, &worst));
	for (unsigned i = 0; i < 100; i++)
		add(i < 90 ? 2000 : 52000, 80000, 0); // the answer is slow, but always the same
	assert_true(tally_worst(&t.answered, &worst));
	assert_int_equal(worst.stage, STAGE_WAKE);
	assert_in_range(worst.spread_ns, 47000, 52000);
	assert_true(worst.total_spread_ns > 0);
	assert_non_null(strstr(tally_advice(worst.stage), "rtvsctl advise"));
}

static void
where_nothing_fluctuates_nothing_is_blamed(void **state)
{
	struct tally_worst worst;

	(void)state;
	tally_init(&t);
	for (unsigned i = 0; i < 10; i++)
		add(2000, 3000, 0);
	assert_false(tally_worst(&t.answered, &worst));
}

static void
what_has_no_stages_is_counted_only(void **state)
{
	const struct stages_chain put = {.put_ns = 5, .depth = 3}, not_put = {0};

	(void)state;
	tally_init(&t);
	tally_add(&t, STAGES_BLIND, NULL, &put, 0);
	tally_add(&t, STAGES_NOT_PUT, NULL, &not_put, 0);
	assert_int_equal(t.results[STAGES_BLIND], 1);
	assert_int_equal(t.results[STAGES_NOT_PUT], 1);
	assert_int_equal(t.depths.n, 1);
	assert_int_equal(t.answered.total.hist.count + t.unanswered.total.hist.count, 0);
}

static void
every_stage_has_an_advice(void **state)
{
	(void)state;
	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		assert_non_null(tally_advice((enum stage)i));
		assert_int_equal(strchr(tally_advice((enum stage)i), '\n'), NULL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_those_of_the_values),
		cmocka_unit_test(the_stage_that_fluctuates_most_is_found),
		cmocka_unit_test(where_nothing_fluctuates_nothing_is_blamed),
		cmocka_unit_test(what_has_no_stages_is_counted_only),
		cmocka_unit_test(every_stage_has_an_advice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
