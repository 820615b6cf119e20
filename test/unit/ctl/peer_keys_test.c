// Key files: accepted contents, and that a refused file changes nothing.
#include "../unit.h"
#include "peer_keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static char path[64];

static int
read_text(const char *text, mode_t mode, struct peer_keys *ret_keys, char err[DP_ERR_SIZE])
{
	FILE *file;
	int rc;

	(void)snprintf(path, sizeof(path), "/tmp/rtvs-keys-%d", (int)getpid());
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fchmod(fileno(file), mode), 0);
	assert_int_equal(fclose(file), 0);
	rc = peer_keys_read(path, ret_keys, err);
	assert_int_equal(peer_keys_check(path, err), rc);
	assert_int_equal(unlink(path), 0);
	return rc;
}

static void
a_file_has_one_or_two_keys(void **state)
{
	struct peer_keys keys;
	char err[DP_ERR_SIZE];

	(void)state;
	assert_int_equal(read_text("# old\n\n0 " HEX "\n", 0600, &keys, err), 0);
	assert_int_equal(keys.n, 1);
	assert_int_equal(keys.key[0].id, 0);
	assert_int_equal(keys.key[0].bytes[PEER_KEYS_BYTES - 1], 0x1f);
	assert_int_equal(read_text("0 " HEX "\n65535\t" OTHER, 0400, &keys, err), 0);
	assert_int_equal(keys.n, PEER_SESSION_MAX_KEYS);
	assert_ptr_equal(peer_keys_find(&keys, 65535), &keys.key[1]);
	assert_null(peer_keys_find(&keys, 1));
}

static void
a_file_that_is_refused_changes_no_key(void **state)
{
	static const struct {
		const char *text, *why;
		mode_t mode;
	} cases[] = {
		{"", "has no key", 0600},
		{"# none\n", "has no key", 0600},
		{"1 " HEX "\n", "mode 0600", 0640},
		{"1 " HEX "\n", "mode 0600", 0604},
		{"1 " HEX "\n2 " OTHER "\n3 " HEX "\n", "one or two lines", 0600},
		{"1 " HEX "\n1 " OTHER "\n", "one or two lines", 0600},
		{"65536 " HEX "\n", "0 to 65535", 0600},
		{"-1 " HEX "\n", "0 to 65535", 0600},
		{HEX "\n", "a number", 0600},
		{"1 " HEX "00\n", "64 hexadecimal digits", 0600},
		{"1 0001\n", "64 hexadecimal digits", 0600},
		{"1 x" HEX "\n", "64 hexadecimal digits", 0600},
	};
	struct peer_keys before, keys;
	char err[DP_ERR_SIZE];

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		keys = before;
		assert_int_equal(read_text(cases[i].text, cases[i].mode, &keys, err), -EINVAL);
		assert_non_null(strstr(err, "key_file: "));
		if (!strstr(err, cases[i].why))
			fail_msg("%s: %s", cases[i].why, err);
		assert_memory_equal(&keys, &before, sizeof(keys));
	}
	assert_int_equal(peer_keys_read("/nowhere/keys", &keys, err), -EINVAL);
	assert_int_equal(peer_keys_read("/tmp", &keys, err), -EINVAL);
}

static void
a_tag_is_right_under_its_key_only(void **state)
{
	uint8_t data[64] = {1, 2, 3};
	struct peer_keys keys;
	char err[DP_ERR_SIZE];

	(void)state;
	assert_int_equal(read_text("1 " HEX "\n2 " OTHER "\n", 0600, &keys, err), 0);
	peer_keys_put_tag(data, sizeof(data), &keys.key[0]);
	assert_true(peer_keys_has_right_tag(data, sizeof(data), &keys.key[0]));
	assert_false(peer_keys_has_right_tag(data, sizeof(data), &keys.key[1]));
	data[0] ^= 1;
	assert_false(peer_keys_has_right_tag(data, sizeof(data), &keys.key[0]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_has_one_or_two_keys),
		cmocka_unit_test(a_file_that_is_refused_changes_no_key),
		cmocka_unit_test(a_tag_is_right_under_its_key_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
