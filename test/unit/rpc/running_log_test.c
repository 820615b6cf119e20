// The kept configuration's text: what is written is read, and nothing else is.
#include "../unit.h"
#include "rtvs/running_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOT "b1"
#define SAVED "s1"

struct text {
	char bytes[4096];
	size_t len, n_first; // of the head and its calls
	uint64_t sum;
};

static void
add(struct text *text, json_t *value)
{
	size_t len;
	char *line = running_log_line(value, &text->sum, &len);

	assert_non_null(line);
	assert_true(text->len + len < sizeof(text->bytes));
	memcpy(text->bytes + text->len, line, len + 1);
	text->len += len;
	free(line);
	json_decref(value);
}

static void
add_call(struct text *text, const char *method, const char *name)
{
	add(text, json_pack("{s:s, s:{s:s}}", "method", method, "params", "name", name));
}

static void
begin(struct text *text, size_t n_calls)
{
	json_t *system = json_pack("{s:s}", "idle", "busy");

	*text = (struct text){0};
	add(text, running_log_head(BOOT, SAVED, system, n_calls));
	json_decref(system);
}

// Two calls that were there, two that followed.
static struct text
example(void)
{
	struct text text;

	begin(&text, 2);
	add_call(&text, "bridge.add", "br0");
	add_call(&text, "port.add", "vm1");
	text.n_first = text.len;
	add_call(&text, "port.add", "vm\n2");
	add_call(&text, "port.del", "vm1");
	return text;
}

static void
expect_refused(const char *bytes, size_t len, const char *what)
{
	char err[RUNNING_LOG_ERR_SIZE] = "";
	struct running_log log = {.n_starts = 77};

	assert_int_equal(running_log_parse(bytes, len, &log, err), -EINVAL);
	assert_int_equal(log.n_starts, 77);
	if (!strstr(err, what))
		fail_msg("%s", err);
}

static struct running_log
parse(const struct text *text, size_t len)
{
	char err[RUNNING_LOG_ERR_SIZE] = "";
	struct running_log log;

	if (running_log_parse(text->bytes, len, &log, err))
		fail_msg("%s", err);
	return log;
}

static void
written_is_read(void **state)
{
	struct text text = example();
	struct running_log log = parse(&text, text.len);

	(void)state;
	assert_string_equal(log.boot, BOOT);
	assert_string_equal(log.saved, SAVED);
	assert_string_equal(json_string_value(json_object_get(log.system, "idle")), "busy");
	assert_int_equal(json_array_size(log.calls), 4);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(json_array_get(log.calls, 2), "params"), "name")),
		"vm\n2");
	assert_true(log.sum == text.sum);
	assert_int_equal(log.n_bytes, text.len);
	assert_int_equal(log.n_starts, 0);
	assert_false(log.has_ended);
	running_log_fini(&log);
	running_log_fini(&log);
}

// The file of a daemon that died at any byte has the calls that were whole.
static void
cut_anywhere_it_has_whole_calls_or_is_refused(void **state)
{
	struct text text = example();

	(void)state;
	for (size_t len = 0; len < text.len; len++) {
		struct running_log log;
		size_t n = 0;

		if (len < text.n_first) {
			expect_refused(text.bytes, len, "cut off");
			continue;
		}
		for (size_t i = 0; i < len; i++)
			n += text.bytes[i] == '\n';
		log = parse(&text, len);
		assert_int_equal(json_array_size(log.calls), n - 1);
		assert_true(log.n_bytes <= len && text.bytes[log.n_bytes - 1] == '\n');
		running_log_fini(&log);
	}
}

static void
any_other_byte_is_found(void **state)
{
	struct text text = example();

	(void)state;
	for (size_t i = 0; i + 1 < text.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct text other = text;

			other.bytes[i] = (char)(other.bytes[i] ^ (1 << bit));
			expect_refused(other.bytes, other.len, "line ");
		}
	}
}

static void
lines_of_two_files_are_no_file(void **state)
{
	struct text a, b;
	size_t n_head;

	(void)state;
	begin(&a, 0);
	n_head = a.len;
	add_call(&a, "bridge.add", "br0");
	add_call(&a, "port.add", "vm1");
	begin(&b, 0);
	add_call(&b, "bridge.add", "br1");
	add_call(&b, "port.add", "vm1");
	// The second line of b behind the first of a, both whole.
	memcpy(a.bytes + a.len, strchr(b.bytes + n_head, '\n') + 1, b.len);
	expect_refused(a.bytes, a.len + strlen(strchr(b.bytes + n_head, '\n') + 1), "line 4: damaged");
}

static void
what_is_not_known_is_refused(void **state)
{
	struct text text = {0};

	(void)state;
	expect_refused("", 0, "cut off");
	expect_refused("\n", 1, "damaged");
	expect_refused("nonsense\n", 9, "damaged");
	add(&text, json_pack("{s:i, s:s}", "version", RUNNING_LOG_VERSION + 1, "boot", BOOT));
	expect_refused(text.bytes, text.len, "line 1: its version is not known");
	text = (struct text){0};
	add(&text, json_pack("{s:i, s:s}", "version", RUNNING_LOG_VERSION, "boot", BOOT));
	expect_refused(text.bytes, text.len, "line 1: damaged");
	text = (struct text){0};
	add_call(&text, "bridge.add", "br0");
	expect_refused(text.bytes, text.len, "line 1: damaged");
	begin(&text, 0);
	add(&text, json_string("enough"));
	expect_refused(text.bytes, text.len, "line 2: neither");
	begin(&text, 0);
	add(&text, json_pack("{s:s}", "params", "none"));
	expect_refused(text.bytes, text.len, "line 2: neither");
}

static void
longest_text_is_read_and_a_longer_one_is_not(void **state)
{
	struct text text = example();
	char *bytes = malloc(RUNNING_LOG_MAX_BYTES + 1u);
	char err[RUNNING_LOG_ERR_SIZE];
	struct running_log log;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 'x', RUNNING_LOG_MAX_BYTES + 1u);
	memcpy(bytes, text.bytes, text.len);
	// Its last line is one that was not written to its end.
	assert_int_equal(running_log_parse(bytes, RUNNING_LOG_MAX_BYTES, &log, err), 0);
	assert_int_equal(json_array_size(log.calls), 4);
	running_log_fini(&log);
	expect_refused(bytes, RUNNING_LOG_MAX_BYTES + 1u, "longer than 64 MiB");
	free(bytes);
}

static void
expect_objection(const struct text *text, const char *boot, const char *saved, const char *what)
{
	struct running_log log = parse(text, text->len);
	const char *why = running_log_objection(&log, boot, saved);

	if (!what != !why || (what && !strstr(why, what)))
		fail_msg("%s", why ? why : "none");
	running_log_fini(&log);
}

static void
who_it_is_for(void **state)
{
	struct text text = example();

	(void)state;
	expect_objection(&text, BOOT, SAVED, NULL);
	expect_objection(&text, "b2", SAVED, "machine");
	expect_objection(&text, BOOT, "s2", NULL); // a crash
	add(&text, running_log_saved("s2"));
	add(&text, json_string(RUNNING_LOG_ENDED));
	expect_objection(&text, BOOT, "s2", NULL);
	expect_objection(&text, BOOT, SAVED, "changed");
}

static void
daemons_that_die_at_it_try_a_few_times(void **state)
{
	struct text text = example();

	(void)state;
	for (unsigned i = 0; i < RUNNING_LOG_MAX_STARTS; i++) {
		expect_objection(&text, BOOT, SAVED, NULL);
		add(&text, json_string(RUNNING_LOG_STARTING));
	}
	expect_objection(&text, BOOT, SAVED, "died");
	add(&text, json_string(RUNNING_LOG_FAILED)); // an error of another kind
	expect_objection(&text, BOOT, SAVED, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_is_read),
		cmocka_unit_test(cut_anywhere_it_has_whole_calls_or_is_refused),
		cmocka_unit_test(any_other_byte_is_found),
		cmocka_unit_test(lines_of_two_files_are_no_file),
		cmocka_unit_test(what_is_not_known_is_refused),
		cmocka_unit_test(longest_text_is_read_and_a_longer_one_is_not),
		cmocka_unit_test(who_it_is_for),
		cmocka_unit_test(daemons_that_die_at_it_try_a_few_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
