// JSON objects whose members are numbers, read by table: types and ranges are declared once, and an
// error names the member and the accepted values. Values are as people write them ("2ms", "20Mbit",
// "15kB") or bare integers.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIELDS_ERROR_SIZE 256u
#define FIELDS_WHERE_SIZE 64u
#define FIELDS_MAX_FILE_BYTES (16u << 20)

enum field_kind {
	FIELD_TIME, // ns
	FIELD_RATE, // bit/s
	FIELD_SIZE, // bytes
	FIELD_UINT,
	FIELD_OTHER, // known, read by the caller
};

struct field {
	const char *name;
	enum field_kind kind;
	uint64_t min, max;
	size_t offset; // of a uint64_t
	bool is_required; // else it keeps its value
};

// Writes "where.name: text" and returns -EINVAL. name: NULL for the object itself.
__attribute__((format(printf, 4, 5))) int fields_refuse(
	char err[FIELDS_ERROR_SIZE], const char *where, const char *name, const char *fmt, ...);
// One value into *ret_value. 0 or -EINVAL with err.
int fields_read_value(const json_t *value, const struct field *field, const char *where, uint64_t *ret_value,
	char err[FIELDS_ERROR_SIZE]);
// The members of an object into the struct that starts at base. 0 or -EINVAL with err: not an
// object, an unknown member, a missing one, or a value that is out of range.
int fields_read(const json_t *object, const struct field *fields, unsigned n_fields, const char *where, void *base,
	char err[FIELDS_ERROR_SIZE]);
// Its "name" into ret_name of size bytes. 0 or -EINVAL with err.
int fields_read_name(const json_t *object, const char *where, char *ret_name, size_t size, char err[FIELDS_ERROR_SIZE]);
// A file. 0, -EINVAL (no JSON), or negative errno of reading it (-EFBIG: above
// FIELDS_MAX_FILE_BYTES), with err.
int fields_load(const char *path, json_t **ret_root, char err[FIELDS_ERROR_SIZE]);
