// The socket that a QEMU waits for, from its log, and logs that must not yield one.
#include "../unit.h"
#include "qemu_log.h"

#include <stdio.h>
#include <string.h>

#define LINE(path)                                                                                                \
	"2026-11-29T05:37:51.992927Z qemu-system-x86_64: Unable to connect character device charnet1: Failed to " \
	"connect to '" path "': No such file or directory\n"

static void
last_complaint_counts(void **state)
{
	char path[DOMAIN_PATH_SIZE];

	(void)state;
	assert_true(qemu_log_socket("-msg timestamp=on\n" LINE("/run/rtvswitch/early.sock"), path));
	assert_string_equal(path, "/run/rtvswitch/early.sock");
	assert_true(
		qemu_log_socket(LINE("/run/rtvswitch/a.sock") "warning\n" LINE("/run/rtvswitch/b c.sock") "end", path));
	assert_string_equal(path, "/run/rtvswitch/b c.sock");
	assert_true(qemu_log_socket(LINE("/run/rtvswitch/a.sock") LINE("/run/ovs/b.sock"), path));
	assert_string_equal(path, "/run/rtvswitch/a.sock");
	assert_true(qemu_log_socket(LINE("/run/rtvswitch/it's.sock"), path));
	assert_string_equal(path, "/run/rtvswitch/it's.sock");
}

static void
other_text_is_none(void **state)
{
	static const char *const texts[] = {"", "\n", LINE("/run/ovs/a.sock"), LINE("/run/rtvswitch/"),
		LINE("/run/rtvswitch"), LINE("/run/rtvswitch/../libvirt/a.sock"), LINE("/run/rtvswitch/sub/a.sock"),
		LINE("run/rtvswitch/a.sock"),
		"Unable to connect character device charnet1: Failed to connect to '/run/rtvswitch/a.sock",
		"Unable to connect character device charnet1: Failed to connect to '/run/rtvswitch/a\n.sock': x",
		"Unable to connect character device ", "Failed to connect to '/run/rtvswitch/a.sock': x"};
	char path[DOMAIN_PATH_SIZE] = "untouched";

	(void)state;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (qemu_log_socket(texts[i], path))
			fail_msg("'%s' in: %s", path, texts[i]);
	assert_string_equal(path, "untouched");
}

static void
path_is_bounded(void **state)
{
	char text[512], path[DOMAIN_PATH_SIZE];

	(void)state;
	for (int n = DOMAIN_PATH_SIZE - 16; n <= DOMAIN_PATH_SIZE - 15; n++) {
		(void)snprintf(text, sizeof(text), LINE("/run/rtvswitch/%0*d"), n, 0);
		assert_int_equal(qemu_log_socket(text, path), n == DOMAIN_PATH_SIZE - 16);
	}
	assert_int_equal(strlen(path), DOMAIN_PATH_SIZE - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_complaint_counts),
		cmocka_unit_test(other_text_is_none),
		cmocka_unit_test(path_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
