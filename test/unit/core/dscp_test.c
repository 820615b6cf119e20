// Deadline classes: accepted texts, refusals and their messages, and look-ups.
#include "../unit.h"
#include "rtvs/dscp.h"
#include "rtvs/random.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MS UINT64_C(1000000)

static struct dscp_table
table_of(const char *text)
{
	struct dscp_table table = {0};
	char err[DSCP_ERR_SIZE] = "";

	if (dscp_parse(text, &table, err))
		fail_msg("'%s': %s", text, err);
	return table;
}

static void
assert_refused(const char *text, const char *what)
{
	struct dscp_table table = {.n = 77};
	char err[DSCP_ERR_SIZE] = "";

	assert_int_equal(dscp_parse(text, &table, err), -EINVAL);
	assert_int_equal(table.n, 77); // untouched
	if (!strstr(err, what))
		fail_msg("'%s': no '%s' in: %s", text, what, err);
}

static void
default_follows_rfc_4594(void **state)
{
	static const struct {
		uint64_t deadline_ns;
		uint8_t dscp;
	} expected[] = {{0, DSCP_KEEP}, {1, 46}, {MS, 46}, {MS + 1, 34}, {10 * MS, 34}, {10 * MS + 1, 26},
		{50 * MS, 26}, {50 * MS + 1, 18}, {200 * MS, 18}, {200 * MS + 1, 10}, {DSCP_DEADLINE_MAX_NS, 10}};
	struct dscp_table table = table_of(DSCP_DEFAULT);
	char text[DSCP_TEXT_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(dscp_find(&table, expected[i].deadline_ns), expected[i].dscp);
	dscp_format(&table, text);
	assert_string_equal(text, DSCP_DEFAULT);
}

static void
deadline_beyond_the_last_class_keeps_what_the_packet_has(void **state)
{
	struct dscp_table table = table_of("1ms:ef"), none = table_of("");

	(void)state;
	assert_int_equal(dscp_find(&table, MS), 46);
	assert_int_equal(dscp_find(&table, MS + 1), DSCP_KEEP);
	assert_int_equal(none.n, 0);
	assert_int_equal(dscp_find(&none, 1), DSCP_KEEP);
}

static void
names_are_numbers(void **state)
{
	static const struct {
		const char *name;
		uint8_t dscp;
	} names[] = {{"ef", 46}, {"EF", 46}, {"va", 44}, {"le", 1}, {"df", 0}, {"cs0", 0}, {"cs1", 8}, {"cs6", 48},
		{"Cs7", 56}, {"af11", 10}, {"af13", 14}, {"af21", 18}, {"af31", 26}, {"AF41", 34}, {"af43", 38},
		{"0", 0}, {"63", 63}, {"007", 7}};
	char text[DSCP_TEXT_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "1ms:%s", names[i].name);
		struct dscp_table table = table_of(text);
		assert_int_equal(dscp_find(&table, 1), names[i].dscp);
	}
}

static void
units_are_those_of_times_elsewhere(void **state)
{
	struct dscp_table table = table_of("7:1,8ns:2,1us:3,1500US:4,2ms:5,1s:6,1min:7,1h:8");
	char text[DSCP_TEXT_SIZE];

	(void)state;
	assert_int_equal(table.n, 8);
	dscp_format(&table, text);
	assert_string_equal(text, "7ns:1,8ns:2,1us:3,1500us:4,2ms:5,1s:6,1min:7,1h:8");
}

static void
names_that_are_none_are_refused(void **state)
{
	static const char *const names[] = {
		"cs8", "cs", "cs10", "af10", "af14", "af01", "af51", "af1", "af111", "e", "eff", "cs/", "af4:"};

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char text[32];

		snprintf(text, sizeof(text), "1ms:%s", names[i]);
		assert_refused(text, "the DSCP");
	}
}

static void
wrong_entries_are_named(void **state)
{
	(void)state;
	assert_refused("1ms", "entry 1 ('1ms'): must be DEADLINE:DSCP");
	assert_refused(",", "entry 1 ('')");
	assert_refused("1ms:ef,", "entry 2 (''): must be");
	assert_refused("1ms:ef,,2ms:ef", "entry 2 ('')");
	assert_refused("1ms:ef,2ms:64", "entry 2 ('2ms:64'): the DSCP must be 0 to 63");
	assert_refused("1ms:18446744073709551662", "the DSCP"); // 46 modulo 2^64
	assert_refused("1ms:", "the DSCP");
	assert_refused("1ms:ef ", "the DSCP");
	assert_refused("1ms:4a", "the DSCP");
	assert_refused("1ms:-1", "the DSCP");
	assert_refused("1ms:ef:ef", "the DSCP");
	assert_refused(":ef", "the deadline must be");
	assert_refused("ms:ef", "the deadline must be");
	assert_refused("0ms:ef", "the deadline must be");
	assert_refused("1.5ms:ef", "the deadline must be");
	assert_refused("1d:ef", "the deadline must be");
	assert_refused("1h:ef,61min:ef", "entry 2 ('61min:ef'): the deadline must be");
	assert_refused("3600000000001:ef", "the deadline must be");
	assert_refused("18446744073709551617ns:ef", "the deadline must be");
	assert_refused("10ms:ef,10ms:af41", "entry 2 ('10ms:af41'): the deadline must be longer");
	assert_refused("10ms:ef,9999us:af41", "longer than the one before");
	assert_refused("perhaps-something-that-is-very-long-indeed", "entry 1 ('perhaps-something-that-is-very-l...')");
}

static void
table_has_eight_classes_at_most(void **state)
{
	(void)state;
	assert_int_equal(table_of("1:0,2:0,3:0,4:0,5:0,6:0,7:0,8:0").n, DSCP_MAX_CLASSES);
	assert_refused("1:0,2:0,3:0,4:0,5:0,6:0,7:0,8:0,9:0", "entry 9 ('9:0'): there are 8 classes");
}

static void
longest_table_fits_its_text(void **state)
{
	struct dscp_table table = {.n = DSCP_MAX_CLASSES};
	char text[DSCP_TEXT_SIZE];

	(void)state;
	for (unsigned i = 0; i < DSCP_MAX_CLASSES; i++)
		table.classes[i] = (struct dscp_class){DSCP_DEADLINE_MAX_NS - 9 + i, 63};
	dscp_format(&table, text);
	struct dscp_table back = table_of(text);
	assert_int_equal(back.n, table.n);
	assert_int_equal(back.classes[7].deadline_ns, table.classes[7].deadline_ns);
}

static void
what_is_formatted_is_read_back(void **state)
{
	uint64_t seed = unit_seed();

	(void)state;
	for (unsigned round = 0; round < 100000; round++) {
		struct dscp_table table = {.n = (uint8_t)random_below(&seed, DSCP_MAX_CLASSES + 1)}, back;
		char text[DSCP_TEXT_SIZE], err[DSCP_ERR_SIZE];
		uint64_t at = 0;

		for (unsigned i = 0; i < table.n; i++) {
			at += random_wide(&seed, 38) + 1; // eight of them are below 1 h
			table.classes[i] = (struct dscp_class){at, (uint8_t)random_below(&seed, 64)};
		}
		dscp_format(&table, text);
		assert_int_equal(dscp_parse(text, &back, err), 0);
		assert_int_equal(back.n, table.n);
		for (unsigned i = 0; i < table.n; i++) {
			assert_true(back.classes[i].deadline_ns == table.classes[i].deadline_ns);
			assert_int_equal(back.classes[i].dscp, table.classes[i].dscp);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_follows_rfc_4594),
		cmocka_unit_test(deadline_beyond_the_last_class_keeps_what_the_packet_has),
		cmocka_unit_test(names_are_numbers),
		cmocka_unit_test(units_are_those_of_times_elsewhere),
		cmocka_unit_test(names_that_are_none_are_refused),
		cmocka_unit_test(wrong_entries_are_named),
		cmocka_unit_test(table_has_eight_classes_at_most),
		cmocka_unit_test(longest_table_fits_its_text),
		cmocka_unit_test(what_is_formatted_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
