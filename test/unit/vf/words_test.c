// Words of `ip link set ... vf N ...`: what they become, and each that is none.
#include "../unit.h"
#include "words.h"

#include <stdio.h>
#include <string.h>

static json_t *
parse(const char *text, char err[WORDS_ERR_SIZE])
{
	char copy[256], *words[32], *rest = NULL;
	unsigned n = 0;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		words[n++] = word;
	return vf_words_parse(words, n, err);
}

static void
words_become_parameters(void **state)
{
	char err[WORDS_ERR_SIZE];
	json_t *params = parse("mac 52:54:00:aa:00:01 vlan 10 qos 0 proto 802.1Q spoofchk on trust off state auto "
			       "min_tx_rate 5 max_tx_rate 100",
		err);
	char *text = json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS);

	(void)state;
	assert_string_equal(text,
		"{\"link_state\":\"auto\",\"mac\":\"52:54:00:aa:00:01\",\"max_tx_rate\":100,\"min_tx_rate\":5,"
		"\"proto\":\"802.1Q\",\"qos\":0,\"spoofchk\":true,\"trust\":false,\"vlan\":10}");
	free(text);
	json_decref(params);
	params = parse("rate 7", err);
	assert_int_equal(json_integer_value(json_object_get(params, "max_tx_rate")), 7);
	json_decref(params);
}

static void
others_are_refused(void **state)
{
	static const struct {
		const char *text, *err;
	} cases[] = {
		{"", "nothing is to be changed"},
		{"vlan", "vlan needs a number"},
		{"mac", "mac needs a value"},
		{"trust", "trust needs on or off"},
		{"vlan ten", "vlan: 'ten' is not a number"},
		{"vlan -1", "vlan: '-1' is not a number"},
		{"vlan 1234567890", "is not a number"},
		{"vlan 1x", "is not a number"},
		{"spoofchk yes", "spoofchk: 'yes' is not on or off"},
		{"vlan 1 vlan 2", "vlan is given twice"},
		{"rate 1 max_tx_rate 2", "max_tx_rate is given twice"},
		{"node_guid 1", "'node_guid' is not known here"},
	};
	char err[WORDS_ERR_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err[0] = '\0';
		assert_null(parse(cases[i].text, err));
		if (!strstr(err, cases[i].err))
			fail_msg("'%s': %s", cases[i].text, err);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_parameters),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
