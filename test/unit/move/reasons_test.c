// The list is bounded in both ways.
#include "../unit.h"
#include "reasons.h"

#include <string.h>

static void
reasons_are_kept_up_to_the_limit(void **state)
{
	struct reasons r = {0};

	(void)state;
	for (unsigned i = 0; i <= REASONS_MAX; i++)
		reasons_add(&r, "reason %u", i);
	assert_int_equal(r.n, REASONS_MAX);
	assert_string_equal(r.text[REASONS_MAX - 1], "reason 63");
}

static void
a_long_reason_is_cut(void **state)
{
	char text[2 * REASONS_TEXT_SIZE];
	struct reasons r = {0};

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	reasons_add(&r, "%s", text);
	assert_int_equal(strlen(r.text[0]), REASONS_TEXT_SIZE - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons_are_kept_up_to_the_limit),
		cmocka_unit_test(a_long_reason_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
