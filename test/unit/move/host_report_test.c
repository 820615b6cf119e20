// What rtvs-move answered for each guest becomes lists, lines and an exit status.
#include "../unit.h"
#include "host_report.h"
#include "move_one.h"

#include <string.h>

#define EXIT(status) ((status) << 8) // as waitpid has it
#define MOVED "{\"way\":\"x-ignore-shared\",\"total_ms\":26.4,\"downtime_ms\":22,\"copied\":false,\"pid\":4711}"
#define REFUSED "{\"way\":null,\"reasons\":[\"one\",\"two\"],\"state\":\"running\"}"

static struct host_report report;

static int
begin(void **state)
{
	(void)state;
	return host_report_init(&report, false);
}

static int
end(void **state)
{
	(void)state;
	host_report_fini(&report);
	return 0;
}

static const json_t *
take(int status, const char *out, const char *err, enum host_report_outcome expected)
{
	struct host_report_guest guest = {.pid = 4242, .name = "vm1"};
	struct host_report_answer answer = {.status = status, .out = out, .err = err};
	enum host_report_outcome outcome;
	const json_t *entry = host_report_take(&report, &guest, &answer, &outcome);

	assert_int_equal(outcome, expected);
	return entry;
}

static void
has_line(enum host_report_outcome outcome, const json_t *entry, const char *expected)
{
	char line[HOST_REPORT_LINE_SIZE];

	host_report_line(&report, outcome, entry, line);
	assert_string_equal(line, expected);
}

static const char *
reason(const json_t *entry, size_t i)
{
	const char *text = json_string_value(json_array_get(json_object_get(entry, "reasons"), i));

	return text ? text : "";
}

static void
a_moved_guest_has_both_processes(void **state)
{
	const json_t *entry = take(EXIT(0), MOVED, "", HOST_REPORT_MOVED);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(entry, "pid")), 4242);
	assert_int_equal(json_integer_value(json_object_get(entry, "to_pid")), 4711);
	assert_string_equal(json_string_value(json_object_get(entry, "name")), "vm1");
	assert_null(json_object_get(entry, "reasons"));
	has_line(HOST_REPORT_MOVED, entry, "guest vm1  pid 4242 -> 4711  26 ms, stood still 22 ms");
	assert_int_equal(host_report_status(&report), MOVE_OK);
}

static void
a_refused_guest_has_its_reasons_and_messages(void **state)
{
	const json_t *entry = take(EXIT(1), REFUSED, "rtvs-move: beside\nand more\n", HOST_REPORT_REFUSED);

	(void)state;
	assert_string_equal(reason(entry, 0), "one");
	assert_string_equal(reason(entry, 1), "two");
	assert_string_equal(reason(entry, 2), "beside");
	assert_string_equal(reason(entry, 3), "and more");
	has_line(HOST_REPORT_REFUSED, entry, "guest vm1  pid 4242  refused: one (and 3 more)");
	assert_int_equal(host_report_status(&report), MOVE_REFUSED);
	// What was said of one that was moved is not lost.
	entry = take(EXIT(0), MOVED, "rtvs-move: a.qmp: not renamed\n", HOST_REPORT_MOVED);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(entry, "messages"), 0)), "a.qmp: not renamed");
}

static void
what_is_not_known_to_be_well_is_lost(void **state)
{
	(void)state;
	assert_string_equal(reason(take(EXIT(4), REFUSED, "", HOST_REPORT_LOST), 0), "one");
	assert_non_null(strstr(reason(take(9, "", "", HOST_REPORT_LOST), 0), "ended by signal 9: either process may"));
	(void)take(9, MOVED, "", HOST_REPORT_LOST);
	(void)take(EXIT(0), "", "", HOST_REPORT_LOST);
	(void)take(EXIT(0), "{\"way\":null}", "", HOST_REPORT_LOST);
	(void)take(EXIT(0), "{\"way\":\"plain\"}", "", HOST_REPORT_LOST); // no process
	(void)take(EXIT(99), MOVED, "", HOST_REPORT_LOST);
	assert_int_equal(host_report_status(&report), MOVE_LOST);
	// It never began.
	(void)take(EXIT(127), "", "", HOST_REPORT_REFUSED);
	assert_string_equal(reason(take(EXIT(2), "", "rtvs-move: what?\n", HOST_REPORT_REFUSED), 0), "what?");
	assert_int_equal(host_report_status(&report), MOVE_LOST);
}

static void
an_ended_or_waiting_process_is_no_failure(void **state)
{
	struct host_report_guest guest = {.pid = 4242, .name = ""};
	struct host_report_answer answer = {.status = EXIT(3), .out = REFUSED, .err = "", .is_gone = true};
	enum host_report_outcome outcome;
	const json_t *entry = host_report_take(&report, &guest, &answer, &outcome);

	(void)state;
	assert_int_equal(outcome, HOST_REPORT_ENDED);
	assert_true(json_is_null(json_object_get(entry, "name")));
	has_line(outcome, entry,
		"pid 4242  ended: its process ended by itself before the guest was handed over (and 2 more)");
	(void)take(EXIT(1), "{\"way\":null,\"reasons\":[\"x\"],\"state\":\"inmigrate\"}", "", HOST_REPORT_LEFT_OUT);
	assert_int_equal(host_report_status(&report), MOVE_OK);
	// It does not answer, and is there.
	(void)take(EXIT(3), REFUSED, "", HOST_REPORT_REFUSED);
}

static void
a_check_loses_nobody(void **state)
{
	const json_t *entry;
	json_t *json;

	(void)state;
	report.is_check = true;
	entry = take(EXIT(0), "{\"way\":\"cpr-transfer\",\"reasons\":[]}", "", HOST_REPORT_MOVED);
	has_line(HOST_REPORT_MOVED, entry, "guest vm1  pid 4242  can be moved by cpr-transfer");
	assert_null(json_object_get(entry, "to_pid"));
	(void)take(9, "", "", HOST_REPORT_REFUSED);
	assert_int_equal(host_report_status(&report), MOVE_REFUSED);
	json = host_report_json(&report, 1);
	assert_int_equal(json_array_size(json_object_get(json, "movable")), 1);
	assert_null(json_object_get(json, "moved"));
	json_decref(json);
}

static void
the_report_has_all_of_them(void **state)
{
	static const char expected[] = "1 moved, 2 refused, 1 lost, 1 left out; 1.2 s\n"
				       "guest vm1, pid 4242: moved\n"
				       "  beside\n"
				       "guest vm1, pid 4242: refused, and runs on where it was:\n"
				       "  one\n"
				       "  two\n"
				       "pid 7: refused, and runs on where it was:\n"
				       "  interrupted\n"
				       "guest vm1, pid 4242: lost, or stopped:\n"
				       "  one\n"
				       "  two\n"
				       "pid 7: left out:\n"
				       "  a destination\n";
	struct host_report_guest guest = {.pid = 7, .name = ""};
	char text[1024];
	json_t *json;
	FILE *f;

	(void)state;
	(void)take(EXIT(0), MOVED, "beside\n", HOST_REPORT_MOVED);
	(void)take(EXIT(1), REFUSED, "", HOST_REPORT_REFUSED);
	(void)take(EXIT(4), REFUSED, "", HOST_REPORT_LOST);
	(void)host_report_add(&report, &guest, HOST_REPORT_REFUSED, "interrupted");
	(void)host_report_add(&report, &guest, HOST_REPORT_LEFT_OUT, "a destination");
	f = fmemopen(text, sizeof(text), "w");
	assert_non_null(f);
	host_report_print(&report, f, 1234);
	fclose(f);
	assert_string_equal(text, expected);
	json = host_report_json(&report, 1234);
	assert_int_equal(json_array_size(json_object_get(json, "moved")), 1);
	assert_int_equal(json_array_size(json_object_get(json, "refused")), 2);
	assert_int_equal(json_array_size(json_object_get(json, "lost")), 1);
	assert_int_equal(json_array_size(json_object_get(json, "ended")), 0);
	assert_int_equal(json_array_size(json_object_get(json, "left_out")), 1);
	assert_true(json_number_value(json_object_get(json, "wall_ms")) == 1234);
	json_decref(json);
}

static void
a_long_reason_is_cut_in_its_line_and_whole_in_the_report(void **state)
{
	char text[2048], line[HOST_REPORT_LINE_SIZE];
	struct host_report_guest guest = {.pid = 7, .name = "vm1"};
	const json_t *entry;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	entry = host_report_add(&report, &guest, HOST_REPORT_REFUSED, text);
	host_report_line(&report, HOST_REPORT_REFUSED, entry, line);
	assert_true(strlen(line) < 300);
	assert_string_equal(reason(entry, 0), text);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_moved_guest_has_both_processes),
		CASE(a_refused_guest_has_its_reasons_and_messages),
		CASE(what_is_not_known_to_be_well_is_lost),
		CASE(an_ended_or_waiting_process_is_no_failure),
		CASE(a_check_loses_nobody),
		CASE(the_report_has_all_of_them),
		CASE(a_long_reason_is_cut_in_its_line_and_whole_in_the_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
