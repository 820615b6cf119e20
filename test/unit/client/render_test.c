// Results as people see them: tables, rows, and omitted parts.
#include "../unit.h"
#include "rtvs/render.h"

#include <stdio.h>
#include <string.h>

static void
expect_text(const char *json, const char *expected)
{
	json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
	size_t len = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(value);
	assert_non_null(out);
	render(value, out);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, expected);
	free(text);
	json_decref(value);
}

static void
list_of_objects_is_a_table_without_empty_columns(void **state)
{
	(void)state;
	expect_text("[{\"port\": \"a\", \"note\": \"\", \"wait_ns\": 1500}, {\"port\": \"bulk\", \"wait_ns\": 0}]",
		"port  wait_ns\n"
		"a       1.5us\n"
		"bulk      0ns\n");
}

static void
units_are_of_numbers_below_zero_too(void **state)
{
	(void)state;
	expect_text("[{\"offset_ns\": -1500, \"n\": -7}]",
		"offset_ns   n\n"
		"   -1.5us  -7\n");
	expect_text("[{\"offset_ns\": -9223372036854775808, \"x_bps\": -8000}]",
		"             offset_ns   x_bps\n"
		"-9223372036854775808ns  -8kbit\n");
	// People read three digits; programs take -j.
	expect_text("[{\"late_ns\": 14155775}]",
		"late_ns\n"
		" 14.2ms\n");
	// But of points in time, which are long, differences are made.
	expect_text("[{\"left_ns\": 87400123456789}]",
		"         left_ns\n"
		"87400123456789ns\n");
}

static void
members_of_an_object_are_lines_and_blocks(void **state)
{
	(void)state;
	expect_text("{\"name\": \"a\", \"up\": true, \"stats\": {\"rx\": 3}, \"list\": [1, 2], \"rows\": [{\"x\": 1}]}",
		"name    a\n"
		"up      yes\n"
		"stats:\n"
		"  rx   3\n"
		"list    1,2\n"
		"rows:\n"
		"  x\n"
		"  1\n");
}

static void
tables_inside_of_rows_become_one_below(void **state)
{
	(void)state;
	expect_text("[{\"port\": \"a\", \"n\": 1, \"drops\": [{\"reason\": \"spoof\", \"count\": 12}]},"
		    " {\"port\": \"b\", \"n\": 2, \"drops\": []},"
		    " {\"port\": \"c\", \"n\": 3, \"drops\": [{\"reason\": \"late\", \"count\": 3},"
		    " {\"reason\": \"full\", \"count\": 4}]}]",
		"port  n\n"
		"a     1\n"
		"b     2\n"
		"c     3\n"
		"drops:\n"
		"  port  reason  count\n"
		"  a     spoof      12\n"
		"  c     late        3\n"
		"  c     full        4\n");
	// Named by their own rows, and two levels down.
	expect_text("{\"ports\": [{\"port\": \"up\", \"flows\": [{\"port\": \"up\", \"from\": \"a\"},"
		    " {\"port\": \"up\", \"from\": \"b\", \"parts\": [{\"x\": 1}]}]}]}",
		"ports:\n"
		"  port\n"
		"  up\n"
		"  flows:\n"
		"    port  from\n"
		"    up    a\n"
		"    up    b\n"
		"    parts:\n"
		"      port  x\n"
		"      up    1\n");
}

static void
empty_tables_leave_no_heading(void **state)
{
	(void)state;
	expect_text("[{\"port\": \"a\", \"drops\": []}]", "port\na\n");
	expect_text("[{\"port\": \"a\", \"values\": [1, 2]}]", "port  values\na     1,2\n");
	expect_text("[]", "");
}

static void
rows_that_begin_with_a_table_have_no_name(void **state)
{
	(void)state;
	expect_text("[{\"inside\": [{\"x\": 1}], \"n\": 5}]",
		"n\n"
		"5\n"
		"inside:\n"
		"  x\n"
		"  1\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_of_objects_is_a_table_without_empty_columns),
		cmocka_unit_test(units_are_of_numbers_below_zero_too),
		cmocka_unit_test(members_of_an_object_are_lines_and_blocks),
		cmocka_unit_test(tables_inside_of_rows_become_one_below),
		cmocka_unit_test(empty_tables_leave_no_heading),
		cmocka_unit_test(rows_that_begin_with_a_table_have_no_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
