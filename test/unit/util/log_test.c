// Log lines as the reader gets them: stderr is a file here.
#include "../unit.h"
#include "rtvs/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[4096];

// Runs fn with stderr in a file; what it wrote is in text.
static void
capture(void (*fn)(void), bool is_journal)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	char stream[64];
	struct stat st;
	ssize_t n;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	(void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	(void)setenv("JOURNAL_STREAM", is_journal ? stream : "1:1", 1);
	(void)dup2(fileno(file), STDERR_FILENO);
	fn();
	(void)dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(fileno(file), text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	(void)fclose(file);
	(void)unsetenv("JOURNAL_STREAM");
}

static void
write_levels(void)
{
	log_error("port %s: gone", "vm3");
	log_warning("slow");
	log_info("ready");
	log_debug("detail");
}

static void
write_hostile(void)
{
	log_error("name '%s'", "a\nerror: forged\x1b[2J");
}

static void
write_long(void)
{
	char longest[2000];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	log_error("%s", longest);
}

static void
levels_are_words_for_people_and_numbers_for_journald(void **state)
{
	(void)state;
	capture(write_levels, false);
	assert_string_equal(text, "error: port vm3: gone\nwarning: slow\ninfo: ready\n");
	capture(write_levels, true);
	assert_string_equal(text, "<3>port vm3: gone\n<4>slow\n<6>ready\n");
}

static void
level_filters(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	capture(write_levels, false);
	assert_string_equal(text, "error: port vm3: gone\n");
	log_set_level(LOG_LEVEL_DEBUG);
	capture(write_levels, false);
	assert_non_null(strstr(text, "debug: detail\n"));
	log_set_level(LOG_LEVEL_INFO);
}

static void
nobody_forges_a_line(void **state)
{
	(void)state;
	capture(write_hostile, false);
	assert_string_equal(text, "error: name 'a error: forged [2J'\n");
}

static void
long_lines_are_cut_and_end(void **state)
{
	(void)state;
	capture(write_long, false);
	assert_true(strlen(text) <= 1024);
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static enum log_level sunk_level;
static char sunk[256], sunk_id[64];
static struct log_field sunk_field;

static void
sink(enum log_level level, const char *message, const struct log_about *about)
{
	sunk_level = level;
	(void)snprintf(sunk, sizeof(sunk), "%s", message);
	(void)snprintf(sunk_id, sizeof(sunk_id), "%s", about ? about->id : "none");
	sunk_field = about ? about->fields[0] : (struct log_field){0};
}

static void
write_about(void)
{
	log_about(LOG_LEVEL_WARNING, LOG_ABOUT(LOG_ID_GUEST_LEFT, {"PORT", "vm3"}), "port %s: left\n", "vm3");
}

static void
a_sink_gets_what_the_journal_would(void **state)
{
	(void)state;
	log_set_sink(sink);
	capture(write_about, true);
	assert_string_equal(text, "");
	assert_int_equal(sunk_level, LOG_LEVEL_WARNING);
	assert_string_equal(sunk, "port vm3: left ");
	assert_string_equal(sunk_id, LOG_ID_GUEST_LEFT);
	assert_string_equal(sunk_field.name, "PORT");
	assert_string_equal(sunk_field.value, "vm3");
	capture(write_levels, true);
	assert_string_equal(sunk, "ready"); // the level hides what is below
	assert_string_equal(sunk_id, "none");
	// A terminal or a file is no journal.
	sunk[0] = '\0';
	capture(write_about, false);
	assert_string_equal(text, "warning: port vm3: left \n");
	assert_string_equal(sunk, "");
	log_set_sink(NULL);
	capture(write_about, true);
	assert_string_equal(text, "<4>port vm3: left \n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_are_words_for_people_and_numbers_for_journald),
		cmocka_unit_test(level_filters),
		cmocka_unit_test(nobody_forges_a_line),
		cmocka_unit_test(long_lines_are_cut_and_end),
		cmocka_unit_test(a_sink_gets_what_the_journal_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
