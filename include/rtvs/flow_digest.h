// Reading a frame's key takes longer than finding it in a cache of keys. A digest stands for the
// key there. Pure; as flow_key.h.
#pragma once

#include "rtvs/flow_key.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

// Words that are the same only for frames with the same key, and are had sooner. Of IPv4 without a
// tag, options or fragments, and with whole TCP or UDP, they are those of the headers themselves
// without what no key has; of others they are the key.
struct flow_digest {
	uint64_t word[FLOW_KEY_WORDS];
	bool is_key; // else the first FLOW_DIGEST_WORDS
	bool is_tcp;
};

#define FLOW_DIGEST_WORDS 6

// What a key has of the first 48 bytes, of UDP and of TCP, with the flag of fragments.
static const uint8_t flow_digest_mask[2][8 * FLOW_DIGEST_WORDS] = {
	{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 63, 255, 255, 255,
		0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
	{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 63, 255, 255, 255,
		0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 15, 255},
};

// Are all headers there, by IP's length?
static inline bool
flow_digest_is_whole(const uint8_t *data, size_t len, bool is_tcp)
{
	uint16_t n;

	memcpy(&n, data + 16, sizeof(n));
	n = be16toh(n);
	return n >= (is_tcp ? 34 : 28) && n + 14u <= len;
}

static inline uint64_t
flow_digest_word(const uint8_t *data, unsigned i, bool is_tcp)
{
	uint64_t word, mask;

	memcpy(&word, data + i * sizeof(word), sizeof(word));
	memcpy(&mask, &flow_digest_mask[is_tcp][i * sizeof(mask)], sizeof(mask));
	return word & mask;
}

// Has the frame this digest, which is no key?
static inline bool
flow_digest_is(const struct flow_digest *d, const uint8_t *data, size_t n_head, size_t len)
{
	uint64_t differs = 0;

	if (n_head < sizeof(flow_digest_mask[0]) || d->is_key || !flow_digest_is_whole(data, len, d->is_tcp))
		return false;
	for (unsigned i = 0; i < FLOW_DIGEST_WORDS; i++)
		differs |= flow_digest_word(data, i, d->is_tcp) ^ d->word[i];
	return !differs;
}

static inline void
flow_digest_of_key(struct flow_digest *d, const struct flow_key *key)
{
	memcpy(d->word, key->word, sizeof(d->word));
	d->is_key = true;
}

// False: the frame's digest is its key, which is not read here.
static inline bool
flow_digest_read(const uint8_t *data, size_t n_head, size_t len, struct flow_digest *ret)
{
	if (n_head < sizeof(flow_digest_mask[0]) || (data[23] != 6 && data[23] != 17))
		return false;
	ret->is_key = false;
	ret->is_tcp = data[23] == 6;
	for (unsigned i = 0; i < FLOW_DIGEST_WORDS; i++)
		ret->word[i] = flow_digest_word(data, i, ret->is_tcp);
	return (ret->word[1] & htobe64(0xffffff00)) == htobe64(0x08004500) && !(ret->word[2] & htobe64(0x3fff0000)) &&
		flow_digest_is_whole(data, len, ret->is_tcp);
}
