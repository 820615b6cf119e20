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
guests_of_a_host_have_a_program(void **state)
{
	char err[OPTIONS_ERROR_SIZE];
	struct options o = parse("host --from /a --to /b", err);

	(void)state;
	assert_int_equal(o.action, OPTIONS_HOST);
	assert_string_equal(o.from, "/a");
	assert_string_equal(o.target, "/b");
	assert_int_equal(o.parallel, 1);
	assert_null(o.source);
	assert_int_equal(parse("host -f /a -t /a -n 64 -cjp", err).parallel, OPTIONS_MAX_PARALLEL);
	refuse("host --to /b", "--from is missing");
	refuse("host --from /a", "--to is missing");
	refuse("host 42 --from /a --to /b", "'host' takes no word: 42");
	refuse("host --form /a --to /b", "did you mean --from?");
	refuse("hots --from /a --to /b", "did you mean 'host'?");
	refuse("qemu 42 --from /a --to /b", "'qemu' has no option --from");
	refuse("qemu 42 --to /b --parallel 2", "'qemu' has no option --parallel");
}

static void
domains_have_uris(void **state)
{
	char err[OPTIONS_ERROR_SIZE];
	struct options o = parse("libvirt web1 --from qemu:///a --to qemu:///b --memory /m -cjp", err);

	(void)state;
	assert_int_equal(o.action, OPTIONS_LIBVIRT);
	assert_string_equal(o.source, "web1");
	assert_string_equal(o.from, "qemu:///a");
	assert_string_equal(o.target, "qemu:///b");
	assert_string_equal(o.memory, "/m");
	assert_true(o.is_check && o.is_json && o.is_plain);
	o = parse("libvirt web1 -t qemu:///b", err);
	assert_string_equal(o.from, OPTIONS_DEFAULT_URI);
	assert_null(o.memory);
	refuse("libvirt --to qemu:///b", "which domain? Its name is missing");
	refuse("libvirt a b --to qemu:///b", "there is more than one domain: b");
	refuse("libvirt a", "--to is missing: the URI of the libvirt daemon");
	refuse("libvirt a --to b --parallel 2", "'libvirt' has no option --parallel");
	refuse("qemu 42 --to /b --memory /m", "'qemu' has no option --memory");
	refuse("libvrt a --to b", "did you mean 'libvirt'?");
}

static void
as_many_at_a_time_as_the_limit_and_no_more(void **state)
{
	static const char *const texts[] = {"0", "65", "-1", "x", "99999999999999999999"};
	char err[OPTIONS_ERROR_SIZE], words[96], message[96];

	(void)state;
	assert_int_equal(parse("host --from /a --to /b --parallel=1", err).parallel, 1);
	assert_int_equal(parse("host --from /a --to /b --parallel=64", err).parallel, 64);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		snprintf(words, sizeof(words), "host --from /a --to /b --parallel=%s", texts[i]);
		snprintf(message, sizeof(message), "--parallel: '%s' is not a number from 1 to 64", texts[i]);
		refuse(words, message);
	}
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
	print("libvirt", text, sizeof(text));
	assert_non_null(strstr(text, "usage: rtvs-move libvirt DOMAIN"));
	assert_non_null(strstr(text, "\n  -f, --from URI        the libvirt daemon"));
	assert_non_null(strstr(text, "\n  -t, --to URI          the libvirt daemon"));
	assert_null(strstr(text, "PROGRAM"));
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 100);
	for (unsigned i = 0; i < 2; i++) {
		print(i ? "qemu" : "host", text, sizeof(text));
		assert_non_null(
			strstr(text, i ? "usage: rtvs-move qemu PID|QMP-SOCKET --to" : "usage: rtvs-move host --from"));
		assert_non_null(strstr(text, "\n  -t, --to PROGRAM      the QEMU"));
		assert_int_equal(strstr(text, "--parallel") == NULL, i);
		assert_non_null(strstr(text, "Exit status: 0 moved"));
		for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
			assert_true(strcspn(line, "\n") <= 100);
	}
	print(NULL, text, sizeof(text));
	assert_non_null(strstr(text, "\n  qemu    one guest"));
	assert_null(strstr(text, "--to"));
}

static void
wrong_words_are_refused(void **state)
{
	(void)state;
	refuse("", "what is to be moved?");
	refuse("qmeu 1 --to /b", "there is no command 'qmeu'; did you mean 'qemu'?");
	refuse("xen 1 --to /b", "not 'xen'");
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
		cmocka_unit_test(guests_of_a_host_have_a_program),
		cmocka_unit_test(domains_have_uris),
		cmocka_unit_test(as_many_at_a_time_as_the_limit_and_no_more),
		cmocka_unit_test(help_is_of_all_or_of_one_subcommand),
		cmocka_unit_test(help_names_each_option_and_fits_a_terminal),
		cmocka_unit_test(wrong_words_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
