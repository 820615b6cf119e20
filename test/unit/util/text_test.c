// Texts: copies that refuse, suggestions, lists.
#include "../unit.h"
#include "rtvs/text.h"

#include <limits.h>
#include <string.h>

static void
copy_refuses_what_does_not_fit(void **state)
{
	char buf[4] = "old";

	(void)state;
	assert_false(text_copy(buf, sizeof(buf), "four"));
	assert_string_equal(buf, "old");
	assert_true(text_copy(buf, sizeof(buf), "six"));
	assert_string_equal(buf, "six");
	assert_false(text_copy(buf, 0, ""));
}

static void
distance_counts_edits(void **state)
{
	char longest[64], longer[65];

	(void)state;
	assert_int_equal(text_distance("", ""), 0);
	assert_int_equal(text_distance("", "abc"), 3);
	assert_int_equal(text_distance("abc", ""), 3);
	assert_int_equal(text_distance("bridge", "brigde"), 1);
	assert_int_equal(text_distance("deadline", "deadlines"), 1);
	assert_int_equal(text_distance("kitten", "sitting"), 3);
	memset(longest, 'a', 63);
	longest[63] = '\0';
	memset(longer, 'a', 64);
	longer[64] = '\0';
	assert_int_equal(text_distance(longest, longest), 0);
	assert_true(text_distance(longest, longer) == UINT_MAX);
	assert_true(text_distance(longer, "a") == UINT_MAX);
}

static void
near_is_in_proportion(void **state)
{
	(void)state;
	assert_true(text_is_near("brigde", "bridge"));
	assert_true(text_is_near("mirrror_too", "mirror_to"));
	assert_false(text_is_near("cat", "dog"));
	assert_false(text_is_near("socket", "bridge"));
}

static void
pieces_come_in_order(void **state)
{
	const char *cursor = "a,bc,,toolong,";
	char buf[5];

	(void)state;
	assert_true(text_next_piece(&cursor, buf, sizeof(buf)));
	assert_string_equal(buf, "a");
	assert_true(text_next_piece(&cursor, buf, sizeof(buf)));
	assert_string_equal(buf, "bc");
	assert_true(text_next_piece(&cursor, buf, sizeof(buf)));
	assert_string_equal(buf, "");
	assert_true(text_next_piece(&cursor, buf, sizeof(buf)));
	assert_string_equal(buf, "");
	assert_true(text_next_piece(&cursor, buf, sizeof(buf)));
	assert_string_equal(buf, "");
	assert_false(text_next_piece(&cursor, buf, sizeof(buf)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copy_refuses_what_does_not_fit),
		cmocka_unit_test(distance_counts_edits),
		cmocka_unit_test(near_is_in_proportion),
		cmocka_unit_test(pieces_come_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
