// QEMU's command line, as people and libvirt write it, and as neither does.
#include "../unit.h"
#include "qemu.h"

#include <string.h>

// Arguments end with '|' here.
static struct qemu_options
parse(const char *arguments)
{
	size_t len = strlen(arguments);
	// exactly as long: a read beyond it is seen by sanitizers
	char *cmdline = malloc(len ? len : 1);
	struct qemu_options o;

	memcpy(cmdline, arguments, len);
	for (size_t i = 0; i < len; i++)
		cmdline[i] = cmdline[i] == '|' ? '\0' : cmdline[i];
	qemu_parse_options(cmdline, len, &o);
	free(cmdline);
	return o;
}

static void
name_is_found_in_each_form(void **state)
{
	(void)state;
	assert_string_equal(parse("q|-name|guest=web1,debug-threads=on|").name, "web1");
	assert_string_equal(parse("q|-name|web2|").name, "web2");
	assert_string_equal(parse("q|-name|web3,process=x|").name, "web3");
	assert_string_equal(parse("q|--name|debug-threads=on,guest=web4").name, "web4");
	assert_string_equal(parse("q|-name|guest=a,,b,debug-threads=on|").name, "a,b");
	assert_string_equal(parse("q|-name|debug-threads=on|").name, "");
	assert_string_equal(parse("q|-append|-name|x|").name, "x");
	assert_string_equal(parse("q|-S|").name, "");
}

static void
options_are_understood(void **state)
{
	struct qemu_options o =
		parse("q|-overcommit|mem-lock=on,cpu-pm=on|-cpu|host,kvm-hint-dedicated=on,+kvm-poll-control|-accel|"
		      "kvm,dirty-ring-size=4096|-machine|q35,mem-merge=off|");

	(void)state;
	assert_true(o.cpu_pm && o.mem_lock && o.hint_dedicated && o.poll_control && o.mem_merge_off && o.asks_kvm);
	assert_false(o.asks_tcg);
	o = parse("q|-overcommit|cpu-pm=off|-M|q35,accel=kvm:tcg|-cpu|host,kvm-poll-control=off|");
	assert_true(o.asks_kvm && o.asks_tcg);
	assert_false(o.cpu_pm || o.mem_lock || o.hint_dedicated || o.poll_control || o.mem_merge_off);
	assert_true(parse("q|-enable-kvm|").asks_kvm);
	assert_true(parse("q|-accel|tcg|").asks_tcg);
}

static void
anything_is_survived(void **state)
{
	static const char *const hostile[] = {"", "|", "||||", "-", "-|", "-name", "-name|", "--|x|", "-name|,,,,,|",
		"-name|=|", "-cpu|,|", "-accel|:::|", "-overcommit|cpu-pm|"};
	char longest[QEMU_NAME_SIZE * 3 + 8] = "-name|";

	(void)state;
	for (unsigned i = 0; i < sizeof(hostile) / sizeof(*hostile); i++)
		assert_false(parse(hostile[i]).cpu_pm);
	memset(longest + 6, 'n', sizeof(longest) - 7);
	assert_int_equal(strlen(parse(longest).name), QEMU_NAME_SIZE - 1);
	assert_string_equal(parse("-name|a\033[2Jb|").name, "a?[2Jb");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_is_found_in_each_form),
		cmocka_unit_test(options_are_understood),
		cmocka_unit_test(anything_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
