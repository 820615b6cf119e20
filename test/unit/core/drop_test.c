// Every reason has a name and a text that a metric and a person can use.
#include "../unit.h"
#include "rtvs/drop.h"

#include <string.h>

static void
names_are_unique_lower_case_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DROP_COUNT; i++) {
		assert_non_null(drop_names[i]);
		assert_true(strlen(drop_names[i]) > 0);
		assert_int_equal(strspn(drop_names[i], "abcdefghijklmnopqrstuvwxyz_"), strlen(drop_names[i]));
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(drop_names[i], drop_names[k]);
	}
	assert_string_equal(drop_names[DROP_SPOOF_ND], "spoof_nd");
}

static void
texts_say_which_port_counts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DROP_COUNT; i++)
		assert_true(strncmp(drop_texts[i], "ingress: ", 9) == 0 || strncmp(drop_texts[i], "egress: ", 8) == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique_lower_case_words),
		cmocka_unit_test(texts_say_which_port_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
