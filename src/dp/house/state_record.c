// Records of a state (state_record.h). The reader compares every length with what is left before it
// moves, and copies what it returns: a buffer may be anywhere, also at an odd address.
// Invariant of the writer: after an error `bytes` is as it was before the call that failed.
#include "state_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 8
#define ROOM_MIN 4096

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are as they are in memory");

struct header {
	uint8_t magic[8];
	uint32_t format, zero;
	uint64_t time_ns;
};

struct head {
	uint16_t type, version;
	uint32_t len; // of the payload, without padding
};

_Static_assert(sizeof(struct header) == STATE_RECORD_HEADER && sizeof(struct head) == STATE_RECORD_HEAD, "no padding");

static const uint8_t magic[8] = {'R', 'T', 'V', 'S', 't', 'a', 't', 'e'};

static size_t
padding(size_t len)
{
	return -len & (ALIGN - 1);
}

// False: there is no room for len more bytes.
static bool
grow(struct state_writer *w, size_t len)
{
	size_t room = w->room ? w->room : ROOM_MIN;
	uint8_t *bytes;

	if (w->rc)
		return false;
	if (len <= w->room - w->len)
		return true;
	while (len > room - w->len) {
		if (room > SIZE_MAX / 2)
			goto err;
		room *= 2;
	}
	bytes = realloc(w->bytes, room);
	if (!bytes)
		goto err;
	w->bytes = bytes;
	w->room = room;
	return true;
err:
	w->rc = -ENOMEM;
	return false;
}

void
state_record_put(struct state_writer *w, const void *bytes, size_t len)
{
	if (!len || !grow(w, len))
		return;
	memcpy(w->bytes + w->len, bytes, len);
	w->len += len;
}

void
state_record_header(struct state_writer *w, uint64_t time_ns)
{
	struct header header = {.format = STATE_RECORD_FORMAT, .time_ns = time_ns};

	memcpy(header.magic, magic, sizeof(magic));
	state_record_put(w, &header, sizeof(header));
}

void
state_record_begin(struct state_writer *w, uint16_t type, uint16_t version)
{
	w->record = w->len;
	state_record_put(w, &(struct head){.type = type, .version = version}, sizeof(struct head));
}

void
state_record_end(struct state_writer *w)
{
	static const uint8_t zeroes[ALIGN];
	size_t len = w->len - w->record - sizeof(struct head);
	uint32_t told = (uint32_t)len;

	if (!w->rc && len > UINT32_MAX)
		w->rc = -ENOMEM;
	if (w->rc)
		return;
	memcpy(w->bytes + w->record + offsetof(struct head, len), &told, sizeof(told));
	state_record_put(w, zeroes, padding(len));
}

int
state_record_open(struct state_reader *r, const uint8_t *buf, size_t len, uint64_t *ret_time_ns)
{
	struct header header;

	if (len < sizeof(header))
		return -EPROTO;
	memcpy(&header, buf, sizeof(header));
	if (memcmp(header.magic, magic, sizeof(magic)) != 0 || header.format != STATE_RECORD_FORMAT || header.zero)
		return -EPROTO;
	*r = (struct state_reader){.at = buf + sizeof(header), .left = len - sizeof(header)};
	*ret_time_ns = header.time_ns;
	return 0;
}

bool
state_record_next(struct state_reader *r, struct state_record *ret_record)
{
	struct head head;
	size_t whole;

	if (!r->left || r->is_cut)
		return false;
	r->is_cut = true;
	if (r->left < sizeof(head))
		return false;
	memcpy(&head, r->at, sizeof(head));
	whole = sizeof(head) + head.len + padding(head.len);
	if (whole > r->left)
		return false;
	r->is_cut = false;
	*ret_record = (struct state_record){
		.type = head.type, .version = head.version, .at = r->at + sizeof(head), .left = head.len};
	r->at += whole;
	r->left -= whole;
	return true;
}

bool
state_record_take(struct state_record *record, void *to, size_t len)
{
	if (len > record->left)
		return false;
	if (len)
		memcpy(to, record->at, len);
	record->at += len;
	record->left -= len;
	return true;
}
