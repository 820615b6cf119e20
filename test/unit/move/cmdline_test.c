// Options and their values, in both forms, and what is refused.
#include "../unit.h"
#include "cmdline.h"
#include "words.h"

#include <errno.h>

static void
options_have_values_or_none(void **state)
{
	struct cmdline *c = words_parse("qemu -S --machine q35 disk.img -append -v -nodefaults -s");

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->n, 6);
	assert_string_equal(c->options[0].name, "S");
	assert_null(c->options[0].value);
	assert_true(cmdline_is(&c->options[1], "machine"));
	assert_string_equal(c->options[1].value, "q35");
	assert_string_equal(c->options[2].name, "");
	assert_string_equal(c->options[2].value, "disk.img");
	assert_string_equal(c->options[3].value, "-v");
	assert_string_equal(c->options[4].name, "nodefaults");
	assert_string_equal(c->options[5].name, "s");
	cmdline_destroy(c);
	cmdline_destroy(NULL);
}

static void
refuse(const char *words, size_t len, int rc)
{
	char err[CMDLINE_ERROR_SIZE] = "";
	struct cmdline *c = NULL;

	assert_int_equal(cmdline_parse(words, len, &c, err), rc);
	assert_null(c);
	assert_string_not_equal(err, "");
}

static void
words_that_are_not_understood_are_refused(void **state)
{
	(void)state;
	refuse("", 0, -EINVAL);
	refuse("qemu", 4, -EINVAL); // without its NUL
	refuse("qemu\0-m", 8, -EINVAL); // no value
	refuse("qemu\0-m\0-smp\0002", 15, -EINVAL);
	refuse("qemu\0--\0x", 10, -EINVAL);
}

static void
as_many_words_as_the_limit_are_read_and_no_more(void **state)
{
	size_t n = CMDLINE_MAX_WORDS;
	char *words = calloc(n + 1, 2);
	char err[CMDLINE_ERROR_SIZE];
	struct cmdline *c = NULL;

	(void)state;
	for (size_t i = 0; i <= n; i++)
		words[2 * i] = 'x';
	assert_int_equal(cmdline_parse(words, 2 * n, &c, err), 0);
	assert_int_equal(c->n, n - 1);
	cmdline_destroy(c);
	refuse(words, 2 * (n + 1), -E2BIG);
	free(words);
}

static void
properties_are_found(void **state)
{
	struct cmdline_option chardev = {"chardev", "socket,id=a,path=/x,,y,server,wait=off,id=b"};
	char value[CMDLINE_VALUE_SIZE];

	(void)state;
	assert_true(cmdline_get(&chardev, "backend", value));
	assert_string_equal(value, "socket");
	assert_true(cmdline_get(&chardev, "path", value));
	assert_string_equal(value, "/x,y");
	assert_true(cmdline_get(&chardev, "id", value)); // the last counts
	assert_string_equal(value, "b");
	assert_true(cmdline_is_on(&chardev, "server"));
	assert_false(cmdline_is_on(&chardev, "wait"));
	assert_false(cmdline_get(&chardev, "pa", value));
	assert_false(cmdline_get(&(struct cmdline_option){"S", NULL}, "id", value));
}

static void
properties_of_json_are_found(void **state)
{
	struct cmdline_option device = {
		"device", "{\"driver\":\"virtio-net-pci\",\"id\":\"n\",\"mq\":true,\"vectors\":4,\"x\":[]}"};
	char value[CMDLINE_VALUE_SIZE];

	(void)state;
	assert_true(cmdline_get(&device, "driver", value));
	assert_string_equal(value, "virtio-net-pci");
	assert_true(cmdline_is_on(&device, "mq"));
	assert_true(cmdline_get(&device, "vectors", value));
	assert_string_equal(value, "4");
	assert_false(cmdline_get(&device, "x", value));
	assert_false(cmdline_get(&(struct cmdline_option){"device", "{\"driver\""}, "driver", value));
}

static void
sets(const char *name, const char *value, const char *key, const char *text, const char *expected)
{
	char *out = cmdline_set(&(struct cmdline_option){name, value}, key, text);

	assert_non_null(out);
	assert_string_equal(out, expected);
	free(out);
}

static void
properties_are_set_and_removed(void **state)
{
	(void)state;
	sets("M", "q35,accel=tcg", "type", "pc-q35-10.0", "pc-q35-10.0,accel=tcg");
	sets("machine", "accel=tcg,type=q35", "type", "pc", "accel=tcg,type=pc");
	sets("object", "memory-backend-file,id=m,prealloc=on,size=1G", "prealloc", NULL,
		"memory-backend-file,id=m,size=1G");
	sets("object", "prealloc=on,qom-type=x", "prealloc", NULL, "qom-type=x");
	sets("chardev", "file,path=a,,b", "append", "on", "file,path=a,,b,append=on");
	sets("chardev", "file,path=a", "path", "x,y", "file,path=x,,y");
	sets("chardev", "", "path", "x", "path=x");
	sets("object", "{\"qom-type\":\"x\",\"prealloc\":true}", "prealloc", NULL, "{\"qom-type\":\"x\"}");
	sets("object", "{\"id\":\"x\"}", "id", "y", "{\"id\":\"y\"}");
	assert_null(cmdline_set(&(struct cmdline_option){"object", "{\"id\""}, "id", "y"));
}

static void
a_value_at_the_limit_is_read_and_a_longer_one_is_kept(void **state)
{
	char *text = malloc(2 * CMDLINE_VALUE_SIZE), value[CMDLINE_VALUE_SIZE], *out;
	struct cmdline_option option = {"chardev", text};

	(void)state;
	memset(text, 'x', 2 * CMDLINE_VALUE_SIZE);
	memcpy(text, "id=", 3);
	text[CMDLINE_VALUE_SIZE - 1] = '\0';
	assert_true(cmdline_get(&option, "id", value));
	assert_int_equal(strlen(value), CMDLINE_VALUE_SIZE - 4);
	text[CMDLINE_VALUE_SIZE - 1] = 'x';
	text[CMDLINE_VALUE_SIZE] = '\0';
	assert_false(cmdline_get(&option, "id", value));
	out = cmdline_set(&option, "a", "b");
	assert_int_equal(strlen(out), CMDLINE_VALUE_SIZE + 4);
	free(out);
	free(text);
}

static void
is_socket(const char *name, const char *text, const char *expected, bool is_server_expected)
{
	struct cmdline_option option = {name, text};
	char path[CMDLINE_VALUE_SIZE];
	bool is_server;

	assert_true(cmdline_get_socket(&option, path, &is_server));
	assert_string_equal(path, expected);
	assert_int_equal(is_server, is_server_expected);
}

static void
sockets_are_found_and_renamed(void **state)
{
	char path[CMDLINE_VALUE_SIZE], *out;
	bool is_server;

	(void)state;
	is_socket("chardev", "socket,id=c,path=/a,server=on,wait=off", "/a", true);
	is_socket("chardev", "socket,id=c,path=/a,reconnect-ms=100", "/a", false);
	is_socket("qmp", "unix:/q,server,nowait", "/q", true);
	is_socket("monitor", "unix:/q", "/q", false);
	is_socket("serial", "mon:unix:/q,server=on", "/q", true);
	assert_false(cmdline_get_socket(&(struct cmdline_option){"chardev", "socket,host=h,port=1"}, path, &is_server));
	assert_false(cmdline_get_socket(&(struct cmdline_option){"qmp", "tcp:h:1"}, path, &is_server));
	assert_false(cmdline_get_socket(&(struct cmdline_option){"append", "unix:x"}, path, &is_server));
	out = cmdline_set_socket(&(struct cmdline_option){"qmp", "unix:/q,server=on"}, "/longer");
	assert_string_equal(out, "unix:/longer,server=on");
	free(out);
	out = cmdline_set_socket(&(struct cmdline_option){"chardev", "socket,path=/a,server=on"}, "/b");
	assert_string_equal(out, "socket,path=/b,server=on");
	free(out);
}

static void
descriptors_are_found(void **state)
{
	(void)state;
	assert_true(cmdline_has_descriptor(&(struct cmdline_option){"add-fd", "fd=3,set=1"}));
	assert_true(cmdline_has_descriptor(&(struct cmdline_option){"netdev", "tap,fd=3,id=n"}));
	assert_true(cmdline_has_descriptor(&(struct cmdline_option){"netdev", "tap,id=n,vhostfds=3:4"}));
	assert_true(cmdline_has_descriptor(&(struct cmdline_option){"drive", "file=/dev/fdset/1"}));
	assert_true(cmdline_has_descriptor(&(struct cmdline_option){"incoming", "fd:4"}));
	assert_false(cmdline_has_descriptor(&(struct cmdline_option){"netdev", "vhost-user,id=fd"}));
	assert_false(cmdline_has_descriptor(&(struct cmdline_option){"append", "fd=3"}));
	assert_false(cmdline_has_descriptor(&(struct cmdline_option){"S", NULL}));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_have_values_or_none),
		cmocka_unit_test(words_that_are_not_understood_are_refused),
		cmocka_unit_test(as_many_words_as_the_limit_are_read_and_no_more),
		cmocka_unit_test(properties_are_found),
		cmocka_unit_test(properties_of_json_are_found),
		cmocka_unit_test(properties_are_set_and_removed),
		cmocka_unit_test(a_value_at_the_limit_is_read_and_a_longer_one_is_kept),
		cmocka_unit_test(sockets_are_found_and_renamed),
		cmocka_unit_test(descriptors_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
