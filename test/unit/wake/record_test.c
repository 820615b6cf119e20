// A written record is read back as the same report; errors of a record are named.
#include "../unit.h"
#include "record.h"
#include "report.h"
#include "wake_script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct recording {
	struct watch *watch;
	FILE *out;
};

static void
take(void *arg, const struct event *e)
{
	struct recording *r = arg;

	watch_event(r->watch, e);
	record_event(r->out, e);
}

static const struct stages_chain chain = {.arrived_ns = 1000,
	.queued_ns = 1010,
	.prewoken_ns = 1020,
	.put_ns = 1030,
	.kicked_ns = 1060,
	.consumed_ns = 1500,
	.answered_ns = 1800,
	.left_ns = 1805,
	.depth = 3,
	.is_kicked = true};

static void
fill(struct recording *r)
{
	const struct event_counts counts = {1, 2, 3, 4};
	bool is_new;

	r->watch = watch_create(5, 0, true);
	watch_miss(r->watch, "kvm_exit", "this kernel does not have it", "HLT");
	record_begin(r->out, r->watch);
	r->watch->switch_pid = SCRIPT_SWITCH;
	record_switch(r->out, SCRIPT_SWITCH);
	record_guest(r->out, "a", SCRIPT_QEMU, 10);
	assert_int_equal(watch_guest(r->watch, "a", SCRIPT_QEMU, 10, &is_new), 0);
	record_thread(r->out, SCRIPT_QEMU, SCRIPT_CPU0, "CPU 0/KVM", THREADS_ASLEEP);
	assert_int_equal(watch_thread(r->watch, SCRIPT_QEMU, SCRIPT_CPU0, "CPU 0/KVM", THREADS_ASLEEP), 0);
	wake_script_each("1080 waking cpu0 by switch; 1200 in cpu0; 1900 out cpu0; 1950 preempted cpu1", 0, take, r);
	record_chain(r->out, "a", &chain);
	assert_int_equal(watch_chain(r->watch, "a", &chain), 0);
	record_loss(r->out, 9, 1400, 1450);
	watch_event_loss(r->watch, 9, 1400, 1450);
	record_chain(r->out, "a", &chain);
	assert_int_equal(watch_chain(r->watch, "a", &chain), 0);
	record_chains_lost(r->out, "a", 11);
	watch_chains_lost(watch_find(r->watch, "a"), 11);
	record_counts(r->out, SCRIPT_QEMU, &counts);
	watch_counts(r->watch, SCRIPT_QEMU, &counts);
	record_end(r->out, 4000);
}

static void
record_gives_the_same_report(void **state)
{
	struct recording r = {.out = tmpfile()};
	struct watch *read = NULL;
	char err[RECORD_ERROR_SIZE];
	uint64_t end_ns = 0;
	json_t *was, *is;

	(void)state;
	assert_non_null(r.out);
	fill(&r);
	rewind(r.out);
	assert_int_equal(record_read(r.out, &read, &end_ns, err), 0);
	assert_int_equal(end_ns, 4000);
	was = report_json(r.watch, end_ns);
	is = report_json(read, end_ns);
	assert_true(json_equal(was, is));
	assert_int_equal(json_array_size(json_object_get(is, "ports")), 1);
	assert_int_equal(read->events_lost, 9);
	assert_int_equal(tally_figures(&watch_find(read, "a")->tally.answered.stages[STAGE_RUN]).max, 120);
	json_decref(was);
	json_decref(is);
	watch_destroy(r.watch);
	watch_destroy(read);
	fclose(r.out);
}

static void
nothing_is_written_without_a_file(void **state)
{
	struct recording r = {0};

	(void)state;
	fill(&r);
	watch_destroy(r.watch);
}

#define BEGIN "{\"kind\":\"begin\",\"version\":1,\"at_ns\":5,\"switch_pid\":7,\"has_sched\":true}\n"
#define GUEST "{\"kind\":\"guest\",\"port\":\"a\",\"pid\":100,\"since_ns\":10}\n"

static int
read_text(const char *text, char *err)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct watch *w = NULL;
	uint64_t end_ns;
	int rc = record_read(in, &w, &end_ns, err);

	if (!rc)
		watch_destroy(w);
	fclose(in);
	return rc;
}

static void
what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"\n", "line 1: line: is not an object with a kind"},
		{"[]\n", "line 1: line: is not"},
		{"{\"kind\":3}\n", "line 1: line: is not"},
		{GUEST, "line 1: kind: is not begin"},
		{"{\"kind\":\"begin\",\"version\":2,\"at_ns\":5,\"switch_pid\":7,\"has_sched\":true}\n",
			"version: is not 1"},
		{"{\"kind\":\"begin\",\"version\":1,\"at_ns\":-5,\"switch_pid\":7,\"has_sched\":true}\n",
			"at_ns: is not a number from 0 to 9223372036854775807"},
		{"{\"kind\":\"begin\",\"version\":1,\"at_ns\":5,\"switch_pid\":7}\n",
			"has_sched: is not true or false"},
		{BEGIN "{\"kind\":\"walk\"}\n", "line 2: kind: is not one that is known"},
		{BEGIN "{\"kind\":\"guest\",\"port\":7,\"pid\":1,\"since_ns\":1}\n", "line 2: port: is not a string"},
		{BEGIN "{\"kind\":\"guest\",\"port\":\"a\",\"pid\":2147483648,\"since_ns\":1}\n",
			"pid: is not a number from 0 to 2147483647"},
		{BEGIN GUEST "{\"kind\":\"thread\",\"pid\":1,\"tid\":1,\"comm\":\"x\",\"state\":\"asleep\"}\n",
			"line 3: pid: is not"},
		{BEGIN GUEST "{\"kind\":\"thread\",\"pid\":100,\"tid\":1,\"comm\":\"x\",\"state\":\"dead\"}\n",
			"line 3: state: is not"},
		{BEGIN "{\"kind\":\"event\",\"ts_ns\":1,\"type\":\"x\",\"tgid\":1,\"tid\":1,\"cpu\":0,\"waker_tid\":0,"
		       "\"waker_tgid\":0,\"comm\":\"\"}\n",
			"line 2: type: is not"},
		{BEGIN "{\"kind\":\"chain\",\"port\":\"a\"}\n", "line 2: arrived_ns: is not a number"},
		{BEGIN "{\"kind\":\"chains_lost\",\"port\":\"a\",\"n\":1}\n",
			"line 2: port: is not one that a guest was at"},
	};
	char err[RECORD_ERROR_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		err[0] = '\0';
		assert_int_equal(read_text(cases[i].text, err), -EINVAL);
		if (!strstr(err, cases[i].why))
			fail_msg("'%s' is not in '%s'", cases[i].why, err);
	}
	assert_int_equal(read_text(BEGIN GUEST, err), 0);
}

static void
record_that_was_cut_off_is_read_up_to_there(void **state)
{
	char err[RECORD_ERROR_SIZE];

	(void)state;
	assert_int_equal(read_text(BEGIN GUEST "{\"kind\":\"gue", err), 0);
	assert_int_equal(read_text("{\"kind\":\"beg", err), -EINVAL);
	assert_non_null(strstr(err, "has no line"));
}

static void
tables_leave_out_what_the_kernel_does_not_tell(void **state)
{
	struct recording r = {0};
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	(void)state;
	fill(&r);
	for (unsigned i = 0; i < 2; i++) {
		out = open_memstream(&text, &len);
		report_print(r.watch, 4000, true, out);
		fclose(out);
		assert_non_null(strstr(text, "a: process 100; 1 packets answered, 1 not explained"));
		assert_non_null(strstr(text, "kvm_exit: this kernel does not have it. Not shown: HLT"));
		assert_non_null(strstr(text, "mean end to end 805ns, sum of the stages' means 805ns"));
		assert_int_equal(strstr(text, "\nrun ") != NULL, i == 0);
		free(text);
		text = NULL;
		r.watch->has_sched = false;
	}
	watch_destroy(r.watch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_gives_the_same_report),
		cmocka_unit_test(nothing_is_written_without_a_file),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(record_that_was_cut_off_is_read_up_to_there),
		cmocka_unit_test(tables_leave_out_what_the_kernel_does_not_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
