// Authentication of messages between daemons.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/peer_session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_KEYS_BYTES 32 // of each

struct peer_key {
	uint32_t id;
	unsigned char bytes[PEER_KEYS_BYTES];
};

struct peer_keys {
	struct peer_key key[PEER_SESSION_MAX_KEYS]; // the newest is the last
	uint32_t n; // 0: none were read yet
};

// Reads one or two keys. 0, or -EINVAL with err naming the field and what is accepted; *ret_keys is
// untouched then.
int peer_keys_read(const char *path, struct peer_keys *ret_keys, char err[DP_ERR_SIZE]);
// The same, but only whether the file holds them.
int peer_keys_check(const char *path, char err[DP_ERR_SIZE]);
// NULL: there is none
const struct peer_key *peer_keys_find(const struct peer_keys *keys, uint32_t id);
// Writes the tag at the end of an encoded message of len bytes.
void peer_keys_put_tag(uint8_t *data, size_t len, const struct peer_key *key);
bool peer_keys_has_right_tag(const uint8_t *data, size_t len, const struct peer_key *key);
