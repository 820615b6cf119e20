// Words of the command line, what is refused with which message, and the help.
#include "../unit.h"
#include "options.h"

#include <errno.h>
#include <string.h>

#define MAX_WORDS 16

// Of words with a space between, behind the program's name. err is "" where they are accepted.
static struct options
parse(const char *text, char err[OPTIONS_ERROR_SIZE])
{
	static char words[512];
	char *argv[MAX_WORDS + 1] = {(char[]){"rtvs-move"}}, *at = words;
	struct options o = {0};
	int argc = 1, rc;

	snprintf(words, sizeof(words), "%s", text);
	while (*at && argc < MAX_WORDS) {
		argv[argc++] = at;
		at += strcspn(at, " ");
		if (*at)
			*at++ = '\0';
	}
	err[0] = '\0';
	rc = options_parse(argc, argv, &o, err);
	assert_int_equal(rc, err[0] ? -EINVAL : 0);
	return o;
}

static void
refuse(const char *text, const char *message)
{
	char err[OPTIONS_ERROR_SIZE];

	(void)parse(text, err);
	if (!strstr(err, message))
		fail_msg("'%s': '%s' is not in '%s'", text, message, err);
}

static void
one_guest_is_named_before_or_behind_the_options(void **state)
{
	static const char *const texts[] = {"qemu 42 --to /b -cj -s /s", "--to /b -c qemu -j --socket=/s 42"};
	char err[OPTIONS_ERROR_SIZE];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct options o = parse(texts[i], err);

		assert_int_equal(o.action, OPTIONS_QEMU);
		assert_string_equal(o.source, "42");
		assert_string_equal(o.target, "/b");
		assert_string_equal(o.socket, "/s");
		assert_true(o.is_check && o.is_json && !o.is_plain);
	}
	assert_null(parse("qemu 42 --to /b", err).socket);
	assert_true(parse("qemu 42 --to /b -p", err).is_plain);
}

static void
help_is_of_all_or_of_one_subcommand(void **state)
{
	char err[OPTIONS_ERROR_SIZE];

	(void)state;
	assert_null(parse("--help", err).help_of);
	assert_int_equal(parse("help", err).action, OPTIONS_HELP);
	assert_string_equal(parse("help qemu", err).help_of, "qemu");
	assert_string_equal(parse("qemu --help", err).help_of, "qemu");
	assert_string_equal(parse("qemu --to /b -h", err).help_of, "qemu");
	assert_int_equal(parse("--version", err).action, OPTIONS_VERSION);
	refuse("help qmeu", "did you mean 'qemu'?");
}

static void
print(const char *command, char *ret_text, size_t size)
{
	FILE *f = fmemopen(ret_text, size, "w");

	assert_non_null(f);
	options_print_help(f, command);
	fclose(f);
}

static void
help_names_each_option_and_fits_a_terminal(void **state)
{
	char text[8192];

	(void)state;
	print("qemu", text, sizeof(text));
	assert_non_null(strstr(text, "usage: rtvs-move qemu PID|QMP-SOCKET --to PROGRAM"));
	assert_non_null(strstr(text, "\n  -t, --to PROGRAM      the QEMU"));
	assert_non_null(strstr(text, "Exit status: 0 moved"));
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 100);
	print(NULL, text, sizeof(text));
	assert_non_null(strstr(text, "\n  qemu  one guest"));
	assert_null(strstr(text, "--to"));
}

static void
wrong_words_are_refused(void **state)
{
	(void)state;
	refuse("", "what is to be moved?");
	refuse("qmeu 1 --to /b", "there is no command 'qmeu'; did you mean 'qemu'?");
	refuse("libvirt 1 --to /b", "not 'libvirt'");
	refuse("qemu --to /b", "which QEMU?");
	refuse("qemu 1 2 --to /b", "there is more than one QEMU: 2");
	refuse("qemu 1", "--to is missing");
	refuse("qemu 1 --to", "--to needs a value");
	refuse("qemu 1 --to /b --chekc", "there is no option --chekc; did you mean --check?");
	refuse("qemu 1 --to /b --nosuch", "--nosuch is no option");
	refuse("qemu 1 --to /b --check=yes", "--check=yes is no option, or takes no value");
	refuse("qemu 1 --to /b -x", "there is no option -x");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_guest_is_named_before_or_behind_the_options),
		cmocka_unit_test(help_is_of_all_or_of_one_subcommand),
		cmocka_unit_test(help_names_each_option_and_fits_a_terminal),
		cmocka_unit_test(wrong_words_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
