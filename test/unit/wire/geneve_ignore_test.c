// Which critical options may be ignored: the operator's text, and options as they come.
#include "../unit.h"
#include "rtvs/geneve_ignore.h"

#include <errno.h>
#include <string.h>

static struct geneve_ignore ignore;
static char err[GENEVE_IGNORE_ERR];

static int
parse(const char *text)
{
	err[0] = '\0';
	return geneve_ignore_parse(text, &ignore, err);
}

static void
text_names_classes_and_types(void **state)
{
	(void)state;
	assert_int_equal(parse(""), 0);
	assert_int_equal(ignore.n, 0);
	assert_int_equal(parse("0x102/0x80,258/1,0xFFFF"), 0);
	assert_int_equal(ignore.n, 3);
	assert_int_equal(ignore.option[0].class, 0x102);
	assert_int_equal(ignore.option[0].type, 0);
	assert_int_equal(ignore.option[1].class, 0x102);
	assert_int_equal(ignore.option[1].type, 1);
	assert_int_equal(ignore.option[2].class, 0xffff);
	assert_int_equal(ignore.option[2].type, -1);
}

static void
text_that_is_wrong_is_refused(void **state)
{
	static const char *const wrong[] = {"x", "0x", "0x10000", "65536", "1/", "1/0x100", "1/256", "1,", ",1", "1,,2",
		"1/2/3", "1 ", "-1", "0x102/-1", "1;2", "99999999999999999999"};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(parse(wrong[i]), -EINVAL);
		assert_non_null(strstr(err, "CLASS[/TYPE]"));
	}
}

static void
list_has_a_limit(void **state)
{
	(void)state;
	assert_int_equal(parse("1,2,3,4,5,6,7,8"), 0);
	assert_int_equal(ignore.n, GENEVE_IGNORE_MAX);
	assert_int_equal(parse("1,2,3,4,5,6,7,8,9"), -EINVAL);
	assert_non_null(strstr(err, "8 of them"));
}

static void
only_what_is_named_is_ignored(void **state)
{
	static const uint8_t options[] = {
		0xff, 0xf5, 0x01, 1, 0, 0, 0, 0, // not critical: of any vendor
		0x01, 0x02, 0x80, 1, 0, 1, 0, 2, // OVN's
		0x01, 0x03, 0x85, 0, // another critical one
	};

	(void)state;
	assert_int_equal(parse("0x102/0x80"), 0);
	assert_true(geneve_ignore_covers(&ignore, options, 16));
	assert_true(geneve_ignore_covers(&ignore, options, 0));
	assert_false(geneve_ignore_covers(&ignore, options, sizeof(options)));
	assert_int_equal(parse("0x102,0x103/5"), 0);
	assert_true(geneve_ignore_covers(&ignore, options, sizeof(options)));
	assert_int_equal(parse("0x102,0x103/4"), 0);
	assert_false(geneve_ignore_covers(&ignore, options, sizeof(options)));
	assert_int_equal(parse(""), 0);
	assert_true(geneve_ignore_covers(&ignore, options, 8));
	assert_false(geneve_ignore_covers(&ignore, options, 16));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_names_classes_and_types),
		cmocka_unit_test(text_that_is_wrong_is_refused),
		cmocka_unit_test(list_has_a_limit),
		cmocka_unit_test(only_what_is_named_is_ignored),
	};

	return cmocka_run_group_tests_name("wire/geneve_ignore", tests, NULL, NULL);
}
