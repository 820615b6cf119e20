// What rules of a flow table match on, read from a frame. Pure; reads only [data, data + n_head).
#pragma once

#include "rtvs/flow_table.h"

#include <endian.h>
#include <string.h>

#define FLOW_KEY_VLAN_PRESENT 0x1000 // in the key's `vlan`: there is a tag

// Of a frame of len bytes, whose first n_head ones are at data. Never fails: fields of headers that
// are not there, or lie about themselves, are 0. Behind a second tag nothing is read. in: as it is
// wanted in the key.
void flow_key_read(const uint8_t *data, size_t n_head, size_t len, uint16_t in, struct flow_key *ret_key);

// Words that are the same only for frames with the same key, and are had sooner: those of the
// headers themselves, without what no key has, for IPv4 without a tag, options or fragments, and
// with whole TCP or UDP. True: they are. False: nothing was read, since the frame is another one.
static inline bool
flow_key_digest(const uint8_t *data, size_t n_head, size_t len, struct flow_key *ret_digest)
{
	uint64_t *w = ret_digest->word, is_tcp;
	uint16_t n;

	if (n_head < 6 * sizeof(*w))
		return false;
	memcpy(w, data, 6 * sizeof(*w));
	memcpy(&n, data + 16, sizeof(n));
	n = be16toh(n);
	// Type, version and length of the header; no fragment; a protocol of which all is there.
	is_tcp = data[23] == 6;
	if ((w[1] & htobe64(0xffffff00)) != htobe64(0x08004500) || (w[2] & htobe64(0x3fff0000)) ||
		(!is_tcp && data[23] != 17) || n < 28 + 6 * is_tcp || n + 14u > len)
		return false;
	w[2] &= htobe64(0x0000ffff); // TTL and protocol
	w[3] &= htobe64(0x0000ffffffffffff); // behind the checksum
	w[4] &= htobe64(0xffffffffffff0000); // up to the ports
	w[5] = is_tcp ? w[5] & htobe64(0x0fff) : 0; // TCP's flags
	w[6] = 0;
	w[7] = UINT64_MAX; // no key has that
	return true;
}
