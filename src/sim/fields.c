// The reader of fields.h. Messages give ranges in the units of the values.
#include "fields.h"

#include "rtvs/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

int
fields_refuse(char err[FIELDS_ERROR_SIZE], const char *where, const char *name, const char *fmt, ...)
{
	va_list args;
	int n = snprintf(err, FIELDS_ERROR_SIZE, "%s%s%s: ", where, name && *where ? "." : "", name ? name : "");

	if (n < 0 || (size_t)n >= FIELDS_ERROR_SIZE)
		return -EINVAL;
	va_start(args, fmt);
	(void)vsnprintf(err + n, FIELDS_ERROR_SIZE - (size_t)n, fmt, args);
	va_end(args);
	return -EINVAL;
}

static const char *
format(enum field_kind kind, uint64_t value, char *buf)
{
	switch (kind) {
	case FIELD_TIME:
		return units_format_time(value, buf);
	case FIELD_RATE:
		return units_format_rate(value, buf);
	case FIELD_SIZE:
		return units_format_size(value, buf);
	default:
		(void)snprintf(buf, UNITS_TEXT_SIZE, "%" PRIu64, value);
		return buf;
	}
}

static bool
parse(const json_t *value, enum field_kind kind, uint64_t *ret_value)
{
	const char *text = json_string_value(value);

	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*ret_value = (uint64_t)json_integer_value(value);
		return true;
	}
	if (!text)
		return false;
	switch (kind) {
	case FIELD_TIME:
		return !units_parse_time(text, ret_value);
	case FIELD_RATE:
		return !units_parse_rate(text, ret_value);
	case FIELD_SIZE:
		return !units_parse_size(text, ret_value);
	default:
		return !units_parse_uint(text, ret_value);
	}
}

int
fields_read_value(const json_t *value, const struct field *field, const char *where, uint64_t *ret_value,
	char err[FIELDS_ERROR_SIZE])
{
	static const char *const kinds[] = {"a time", "a rate", "a size", "a number"};
	char min[UNITS_TEXT_SIZE], max[UNITS_TEXT_SIZE];
	uint64_t number;

	if (!parse(value, field->kind, &number) || number < field->min || number > field->max)
		return fields_refuse(err, where, field->name, "is not %s from %s to %s", kinds[field->kind],
			format(field->kind, field->min, min), format(field->kind, field->max, max));
	*ret_value = number;
	return 0;
}

static const struct field *
find(const struct field *fields, unsigned n_fields, const char *name)
{
	for (unsigned i = 0; i < n_fields; i++)
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	return NULL;
}

int
fields_read(const json_t *object, const struct field *fields, unsigned n_fields, const char *where, void *base,
	char err[FIELDS_ERROR_SIZE])
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return fields_refuse(err, where, NULL, "is not an object");
	// Jansson's iteration macro takes no const.
	json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
		const struct field *field = find(fields, n_fields, name);
		int rc = 0;

		if (!field)
			return fields_refuse(err, where, name, "there is no such field");
		if (field->kind != FIELD_OTHER)
			rc = fields_read_value(
				value, field, where, (uint64_t *)(void *)((char *)base + field->offset), err);
		if (rc)
			return rc;
	}
	for (unsigned i = 0; i < n_fields; i++)
		if (fields[i].is_required && !json_object_get(object, fields[i].name))
			return fields_refuse(err, where, fields[i].name, "is missing");
	return 0;
}

int
fields_read_name(const json_t *object, const char *where, char *ret_name, size_t size, char err[FIELDS_ERROR_SIZE])
{
	const char *name = json_string_value(json_object_get(object, "name"));
	size_t len = name ? strlen(name) : 0;

	if (!len || len >= size || name[strspn(name, NAME_CHARS)])
		return fields_refuse(
			err, where, "name", "is not 1 to %zu letters, digits, dots, dashes or underscores", size - 1);
	memcpy(ret_name, name, len + 1);
	return 0;
}

int
fields_load(const char *path, json_t **ret_root, char err[FIELDS_ERROR_SIZE])
{
	json_error_t error;
	FILE *in = fopen(path, "re");
	char *text = in ? malloc(FIELDS_MAX_FILE_BYTES + 1) : NULL;
	int rc = -errno;
	size_t len;

	if (!in || !text) {
		(void)snprintf(err, FIELDS_ERROR_SIZE, "%s", strerror(-rc));
		goto done;
	}
	len = fread(text, 1, FIELDS_MAX_FILE_BYTES + 1, in);
	rc = ferror(in) ? -EIO : len > FIELDS_MAX_FILE_BYTES ? -EFBIG : 0;
	(void)snprintf(err, FIELDS_ERROR_SIZE, "%s", strerror(-rc));
	if (rc)
		goto done;
	*ret_root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!*ret_root) {
		(void)snprintf(err, FIELDS_ERROR_SIZE, "line %d: %s", error.line, error.text);
		rc = -EINVAL;
	}
done:
	free(text);
	if (in)
		(void)fclose(in);
	return rc;
}
