// Lists of CPUs as the kernel writes them.
#include "../unit.h"
#include "cpus.h"

#include <errno.h>
#include <string.h>

static void
round_trip(const char *text)
{
	char buf[CPUS_TEXT_SIZE];
	struct cpus set;

	assert_int_equal(cpus_parse(text, &set), 0);
	assert_string_equal(cpus_format(&set, buf, sizeof(buf)), text);
}

static void
lists_come_back(void **state)
{
	(void)state;
	round_trip("");
	round_trip("0");
	round_trip("0-3,8");
	round_trip("63-64,127,1022-1023");
	round_trip("0-1023");
}

static void
kernels_ways_of_nothing(void **state)
{
	struct cpus set;

	(void)state;
	assert_int_equal(cpus_parse("\n", &set), 0);
	assert_int_equal(cpus_count(&set), 0);
	assert_int_equal(cpus_parse("(null)\n", &set), 0);
	assert_int_equal(cpus_count(&set), 0);
	assert_int_equal(cpus_parse("2\n", &set), 0);
	assert_int_equal(cpus_next(&set, 0), 2);
	assert_int_equal(cpus_next(&set, 3), CPUS_MAX);
}

static void
wrong_lists_change_nothing(void **state)
{
	static const char *const wrong[] = {"x", "1-", "-1", "3-2", "1,,2", "1,", "1x", "0x1", "1-2-3", "all", "2-N"};
	struct cpus set = {.word = {5}}, before = set;

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(cpus_parse(wrong[i], &set), -EINVAL);
	assert_int_equal(cpus_parse("1024", &set), -ERANGE);
	assert_int_equal(cpus_parse("0-99999999999999999999", &set), -ERANGE);
	assert_memory_equal(&set, &before, sizeof(set));
}

static void
sets_are_compared(void **state)
{
	struct cpus a, b;

	(void)state;
	assert_int_equal(cpus_parse("1-3,70", &a), 0);
	assert_int_equal(cpus_parse("3,70", &b), 0);
	assert_true(cpus_is_within(&b, &a));
	assert_false(cpus_is_within(&a, &b));
	assert_true(cpus_overlap(&a, &b));
	cpus_subtract(&a, &b);
	assert_false(cpus_overlap(&a, &b));
	assert_int_equal(cpus_count(&a), 2);
	cpus_unite(&a, &b);
	cpus_add(&a, CPUS_MAX);
	assert_false(cpus_has(&a, CPUS_MAX));
	assert_int_equal(cpus_count(&a), 4);
}

static void
long_list_is_cut_at_a_number(void **state)
{
	struct cpus set = {0};
	char buf[12];

	(void)state;
	for (unsigned cpu = 100; cpu < 200; cpu += 2)
		cpus_add(&set, cpu);
	assert_string_equal(cpus_format(&set, buf, sizeof(buf)), "100,102...");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_come_back),
		cmocka_unit_test(kernels_ways_of_nothing),
		cmocka_unit_test(wrong_lists_change_nothing),
		cmocka_unit_test(sets_are_compared),
		cmocka_unit_test(long_list_is_cut_at_a_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
