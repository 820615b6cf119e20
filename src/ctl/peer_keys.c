// Keys that the daemons of two hosts share, read from a file that only its owner may read. A tag is
// keyed BLAKE2b (libsodium).
// Invariant: no key is taken from a file that is refused.
#include "peer_keys.h"

#include "rtvs/peer_msg.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_LINE 128

_Static_assert(PEER_MSG_TAG_BYTES == 32, "a tag is BLAKE2b-256");

int
peer_keys_read(const char *path, struct peer_keys *ret_keys, char err[DP_ERR_SIZE])
{
	FILE *f = fopen(path, "re");
	char line[KEY_LINE];
	struct peer_keys keys = {0};
	struct stat st;
	int rc = -EINVAL;

	if (!f) {
		(void)snprintf(err, DP_ERR_SIZE, "key_file: %s: %s", path, strerror(errno));
		return -EINVAL;
	}
	if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode) || (st.st_mode & 077)) {
		(void)snprintf(err, DP_ERR_SIZE,
			"key_file: %s: must be a file that only its owner may read (mode 0600)", path);
		goto out;
	}
	while (fgets(line, sizeof(line), f)) {
		char *end = NULL, *hex = line + strcspn(line, " \t");
		size_t len = 0;
		unsigned long id = strtoul(line, &end, 10);

		if (line[0] == '#' || line[strspn(line, " \t\n")] == '\0')
			continue;
		hex += strspn(hex, " \t");
		hex[strcspn(hex, "\n")] = '\0';
		if (keys.n == PEER_SESSION_MAX_KEYS || end == line || (*end != ' ' && *end != '\t') ||
			id > UINT16_MAX || (keys.n && keys.key[0].id == id) ||
			sodium_hex2bin(keys.key[keys.n].bytes, PEER_KEYS_BYTES, hex, strlen(hex), NULL, &len, NULL) ||
			len != PEER_KEYS_BYTES) {
			(void)snprintf(err, DP_ERR_SIZE,
				"key_file: %s: must have one or two lines, the newest key last: a number 0 to 65535, a "
				"space, "
				"64 hexadecimal digits",
				path);
			goto out;
		}
		keys.key[keys.n++].id = (uint32_t)id;
	}
	if (!keys.n) {
		(void)snprintf(err, DP_ERR_SIZE, "key_file: %s: has no key", path);
		goto out;
	}
	*ret_keys = keys;
	rc = 0;
out:
	sodium_memzero(line, sizeof(line));
	sodium_memzero(&keys, sizeof(keys));
	(void)fclose(f);
	return rc;
}

int
peer_keys_check(const char *path, char err[DP_ERR_SIZE])
{
	struct peer_keys keys;
	int rc = peer_keys_read(path, &keys, err);

	sodium_memzero(&keys, sizeof(keys));
	return rc;
}

const struct peer_key *
peer_keys_find(const struct peer_keys *keys, uint32_t id)
{
	for (uint32_t i = 0; i < keys->n; i++)
		if (keys->key[i].id == id)
			return &keys->key[i];
	return NULL;
}

void
peer_keys_put_tag(uint8_t *data, size_t len, const struct peer_key *key)
{
	(void)crypto_generichash(data + peer_msg_covered(len), PEER_MSG_TAG_BYTES, data, peer_msg_covered(len),
		key->bytes, PEER_KEYS_BYTES);
}

bool
peer_keys_has_right_tag(const uint8_t *data, size_t len, const struct peer_key *key)
{
	unsigned char tag[PEER_MSG_TAG_BYTES];

	(void)crypto_generichash(tag, sizeof(tag), data, peer_msg_covered(len), key->bytes, PEER_KEYS_BYTES);
	return sodium_memcmp(tag, data + peer_msg_covered(len), sizeof(tag)) == 0;
}
