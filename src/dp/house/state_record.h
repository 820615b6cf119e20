// A state that one process leaves to another, as records in a buffer: the writer, and a reader that
// trusts no byte. The other process may be of another version. Pure: no DPDK, no clock.
//
// A buffer begins with a header. A record has a type, a version of its type, the length of its
// payload, and the payload, padded to 8 bytes. Numbers are little-endian, of fixed width. Types and
// versions that a reader does not know are skipped by their length. A record whose payload changes
// gets the next version; a reader goes on reading all versions that were ever released.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_RECORD_FORMAT 1 // of the header, and of how records follow each other
#define STATE_RECORD_HEADER 24 // bytes
#define STATE_RECORD_HEAD 8 // bytes before a payload

struct state_writer {
	uint8_t *bytes; // realloc's, the caller's to free. NULL: nothing was written
	size_t len, room;
	size_t record; // where the open record begins
	int rc; // 0; -ENOMEM: since then nothing is written
};

// Appends. header: time_ns: now, CLOCK_MONOTONIC. begin, any number of put, and end: one record.
void state_record_header(struct state_writer *w, uint64_t time_ns);
void state_record_begin(struct state_writer *w, uint16_t type, uint16_t version);
void state_record_put(struct state_writer *w, const void *bytes, size_t len);
void state_record_end(struct state_writer *w);

struct state_reader {
	const uint8_t *at;
	size_t left;
	bool is_cut; // the buffer ends within a record
};

struct state_record {
	uint16_t type, version;
	const uint8_t *at; // of the payload, what is not taken yet
	size_t left;
};

// -EPROTO: the buffer has no header, or one of a format that is not known here.
int state_record_open(struct state_reader *r, const uint8_t *buf, size_t len, uint64_t *ret_time_ns);
// False: there is no further whole record.
bool state_record_next(struct state_reader *r, struct state_record *ret_record);
// The next len bytes of the payload. False: there are fewer, and none is taken.
bool state_record_take(struct state_record *record, void *to, size_t len);
