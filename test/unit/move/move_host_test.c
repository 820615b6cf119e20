// All guests of a program, with a fake in place of `rtvs-move qemu`: it does what the name of the
// guest says. The guests are processes that do nothing.
#include "fake_guest.h"
#include "move_host.h"
#include "move_one.h"

// Called as FAKE qemu PID --json --to TARGET [--check] [--plain] --socket SOCKET.
static const char fake_mover[] =
	"#!/bin/sh\n"
	"echo \"$@\" >>\"$0.calls\"\n"
	"result='{\"way\":\"fake\",\"total_ms\":2,\"downtime_ms\":1,\"pid\":1}'\n"
	"refusal='{\"way\":null,\"reasons\":[\"because\"]}'\n"
	"case $(tr '\\0' ' ' <\"/proc/$2/cmdline\") in\n"
	"*moved*) echo \"$result\" ;;\n"
	"*refused*) echo \"$refusal\"; exit 1 ;;\n"
	"*lost*) echo \"$refusal\"; exit 4 ;;\n"
	"*dies*) kill -KILL $$ ;;\n"
	"*gone*) kill -KILL \"$2\"; while readlink \"/proc/$2/exe\"; do :; done; exit 3 ;;\n"
	"*obeys*) trap 'echo \"$refusal\"; exit 1' TERM; while :; do sleep 0.05; done ;;\n"
	"*hangs*) trap '' TERM INT; exec sleep 100 ;;\n"
	"*signals*) trap : INT; kill -INT $PPID; echo \"$result\" ;;\n"
	"*comes*) (exec \"$(readlink \"/proc/$2/exe\")\" -S -name comes >/dev/null 2>&1) & until [ \"$(cat "
	"/proc/$!/cmdline | tr '\\0' ' ' | grep -c comes)\" = 1 ]; do :; done; echo \"$result\" ;;\n"
	"*meets*) : >\"$0.$2\"; until [ \"$(ls \"$0\".[0-9]* | wc -l)\" -ge 3 ]; do :; done; echo \"$result\" ;;\n"
	"esac\n";

static char dir[] = "/tmp/host-XXXXXX", program[64], mover_path[64];
static struct options options = {.parallel = 1, .target = "/bin/true"};
static struct move_host_mover mover = {.program = mover_path, .limit_ms = 60000, .grace_ms = 60000};
static struct host_report report;
static pid_t pids[16];
static unsigned n_pids;

static int
set_up(void **state)
{
	FILE *f;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(program, sizeof(program), "%s/qemu", dir);
	snprintf(mover_path, sizeof(mover_path), "%s/fake-mover", dir);
	options.from = program;
	fake_guest_make_program(program);
	f = fopen(mover_path, "w");
	if (!f)
		return -1;
	fputs(fake_mover, f);
	fclose(f);
	return chmod(mover_path, 0700);
}

static int
tear_down(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void
start_guests(const char *const *names)
{
	for (; *names; names++) {
		char words[96];

		snprintf(words, sizeof(words), "-S -name %s", *names);
		pids[n_pids++] = fake_guest_start(program, words);
	}
}

static int
begin(void **state)
{
	(void)state;
	options.parallel = 1;
	options.is_check = options.is_plain = false;
	mover.limit_ms = mover.grace_ms = 60000;
	return host_report_init(&report, false);
}

static int
end(void **state)
{
	(void)state;
	while (n_pids)
		fake_guest_end(pids[--n_pids]);
	host_report_fini(&report);
	return 0;
}

// The number in each list.
static void
work(unsigned moved, unsigned refused, unsigned lost, unsigned ended)
{
	assert_int_equal(move_host_work(&options, &mover, &report, NULL), 0);
	assert_int_equal(host_report_count(&report, HOST_REPORT_MOVED), moved);
	assert_int_equal(host_report_count(&report, HOST_REPORT_REFUSED), refused);
	assert_int_equal(host_report_count(&report, HOST_REPORT_LOST), lost);
	assert_int_equal(host_report_count(&report, HOST_REPORT_ENDED), ended);
}

static const char *
reason(enum host_report_outcome outcome, size_t i, size_t k)
{
	const json_t *entry = json_array_get(report.lists[outcome], i);
	const char *text = json_string_value(json_array_get(json_object_get(entry, "reasons"), k));

	return text ? text : "";
}

static void
without_a_guest_there_is_nothing_to_do(void **state)
{
	(void)state;
	work(0, 0, 0, 0);
	assert_int_equal(host_report_status(&report), MOVE_OK);
}

static void
whatever_becomes_of_one_the_others_are_moved(void **state)
{
	static const char *const names[] = {"moved-1", "refused", "lost", "dies", "gone", "moved-2", NULL};
	const json_t *moved;

	(void)state;
	start_guests(names);
	options.parallel = 2;
	work(2, 1, 2, 1);
	assert_string_equal(reason(HOST_REPORT_REFUSED, 0, 0), "because");
	moved = json_array_get(report.lists[HOST_REPORT_MOVED], 0);
	assert_int_equal(json_integer_value(json_object_get(moved, "to_pid")), 1);
	assert_int_equal(host_report_status(&report), MOVE_LOST);
}

static void
a_line_is_shown_for_each(void **state)
{
	static const char *const names[] = {"moved", "refused", NULL};
	char text[1024] = "", expected[256];
	FILE *f = fmemopen(text, sizeof(text), "w");

	(void)state;
	start_guests(names);
	assert_non_null(f);
	assert_int_equal(move_host_work(&options, &mover, &report, f), 0);
	fclose(f);
	assert_non_null(strstr(text, "2 guests of "));
	snprintf(expected, sizeof(expected), "\n1 of 2  guest moved  pid %d -> 1  2 ms, stood still 1 ms\n",
		(int)pids[0]);
	assert_non_null(strstr(text, expected));
	snprintf(expected, sizeof(expected), "\n2 of 2  guest refused  pid %d  refused: because\n", (int)pids[1]);
	assert_non_null(strstr(text, expected));
}

static void
options_are_those_of_one_move(void **state)
{
	static const char *const names[] = {"moved", NULL};
	char path[96], line[256] = "", expected[128];
	FILE *f;

	(void)state;
	start_guests(names);
	options.is_check = report.is_check = options.is_plain = true;
	options.socket = "/s";
	snprintf(path, sizeof(path), "%s.calls", mover_path);
	(void)unlink(path);
	work(1, 0, 0, 0);
	options.socket = NULL;
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	snprintf(expected, sizeof(expected), "qemu %d --json --to /bin/true --check --plain --socket /s\n",
		(int)pids[0]);
	assert_string_equal(line, expected);
	assert_null(fgets(line, sizeof(line), f)); // one look is enough for a check
	fclose(f);
}

// Each waits for two others.
static void
as_many_as_are_asked_for_run_at_a_time(void **state)
{
	static const char *const names[] = {"meets", "meets", "meets", NULL};

	(void)state;
	start_guests(names);
	options.parallel = 3;
	work(3, 0, 0, 0);
}

static void
one_that_takes_too_long_is_told_to_end_and_then_killed(void **state)
{
	static const char *const names[] = {"obeys", "hangs", "moved", NULL};

	(void)state;
	start_guests(names);
	mover.limit_ms = mover.grace_ms = 1000;
	options.parallel = 2;
	work(1, 1, 1, 0);
	assert_non_null(strstr(reason(HOST_REPORT_REFUSED, 0, 0), "it took more than 1 s"));
	assert_string_equal(reason(HOST_REPORT_REFUSED, 0, 1), "because");
	assert_non_null(strstr(reason(HOST_REPORT_LOST, 0, 0), "it took more than 1 s"));
	assert_non_null(strstr(reason(HOST_REPORT_LOST, 0, 1), "ended by signal 9"));
}

static void
after_a_signal_no_further_guest_is_begun(void **state)
{
	static const char *const names[] = {"signals", "moved-1", "moved-2", NULL};

	(void)state;
	start_guests(names);
	work(1, 2, 0, 0);
	assert_string_equal(reason(HOST_REPORT_REFUSED, 1, 0), "interrupted before its move began");
	assert_int_equal(host_report_status(&report), MOVE_REFUSED);
}

static void
a_signal_reaches_those_that_move(void **state)
{
	static const char *const names[] = {"hangs", "signals", "moved", NULL};

	(void)state;
	start_guests(names);
	options.parallel = 2;
	options.is_plain = true; // it may run for ever, and is killed after a signal
	mover.grace_ms = 500;
	work(1, 1, 1, 0);
}

static void
guests_that_come_meanwhile_are_looked_for_until_the_last_look(void **state)
{
	static const char *const names[] = {"comes", NULL};
	const json_t *entry;
	size_t i;

	(void)state;
	start_guests(names);
	work(MOVE_HOST_MAX_LOOKS, 1, 0, 0);
	assert_non_null(strstr(reason(HOST_REPORT_REFUSED, 0, 0), "it came after the last look"));
	json_array_foreach (report.lists[HOST_REPORT_MOVED], i, entry)
		if (i)
			fake_guest_end_other((pid_t)json_integer_value(json_object_get(entry, "pid")));
	entry = json_array_get(report.lists[HOST_REPORT_REFUSED], 0);
	fake_guest_end_other((pid_t)json_integer_value(json_object_get(entry, "pid")));
}

static void
a_mover_that_is_not_there_refuses_each(void **state)
{
	static const char *const names[] = {"moved-1", "moved-2", NULL};

	(void)state;
	start_guests(names);
	mover.program = "/nosuch";
	work(0, 2, 0, 0);
	mover.program = mover_path;
	assert_non_null(strstr(reason(HOST_REPORT_REFUSED, 0, 0), "cannot be started: No such file"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(without_a_guest_there_is_nothing_to_do),
		CASE(whatever_becomes_of_one_the_others_are_moved),
		CASE(a_line_is_shown_for_each),
		CASE(options_are_those_of_one_move),
		CASE(as_many_as_are_asked_for_run_at_a_time),
		CASE(one_that_takes_too_long_is_told_to_end_and_then_killed),
		CASE(after_a_signal_no_further_guest_is_begun),
		CASE(a_signal_reaches_those_that_move),
		CASE(guests_that_come_meanwhile_are_looked_for_until_the_last_look),
		CASE(a_mover_that_is_not_there_refuses_each),
	};

	fake_guest_main(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
