// Generic rendering: the form follows from the result, so that a new method needs nothing here.
// Columns are the keys of the list's objects in the order of their first appearance; an empty
// column is omitted. Tables inside of a table's rows become one table below, whose rows begin with
// the name of their outer row.
#include "rtvs/render.h"

#include "rtvs/units.h"

#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 32
#define CELL_SIZE 512
#define INDENT 2
#define LONG_TIME_NS UINT64_C(600000000000)

static bool
ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && !strcmp(text + n - k, end);
}

static const char *
number_cell(const char *key, json_int_t n, char *buf, size_t size)
{
	uint64_t magnitude = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
	char *digits = buf + (n < 0);

	buf[0] = '-';
	// A time longer than minutes is a point in time, or a sum for differences.
	if (size > UNITS_TEXT_SIZE && ends_with(key, "_ns"))
		(void)(magnitude < LONG_TIME_NS ? units_format_time_short(magnitude, digits) :
						  units_format_time(magnitude, digits));
	else if (size > UNITS_TEXT_SIZE && ends_with(key, "_bps"))
		(void)units_format_rate(magnitude, digits);
	else
		(void)snprintf(buf, size, "%" JSON_INTEGER_FORMAT, n);
	return buf;
}

// A list in one cell: its elements with commas; a nested object: key=value pairs.
static const char *
composite_cell(const json_t *value, char *buf, size_t size)
{
	char inner[CELL_SIZE];
	const char *key;
	json_t *element;
	size_t at = 0, i;

	buf[0] = '\0';
	if (json_is_array(value))
		json_array_foreach (value, i, element) {
			if (at < size)
				at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? "," : "",
					render_cell("", element, inner, sizeof(inner)));
		}
	else
		json_object_foreach ((json_t *)value, key, element) {
			if (at < size)
				at += (size_t)snprintf(buf + at, size - at, "%s%s=%s", at ? " " : "", key,
					render_cell(key, element, inner, sizeof(inner)));
		}
	return buf;
}

const char *
render_cell(const char *key, const json_t *value, char *buf, size_t size)
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return json_string_value(value);
	case JSON_INTEGER:
		return number_cell(key, json_integer_value(value), buf, size);
	case JSON_REAL:
		(void)snprintf(buf, size, "%.3g", json_real_value(value));
		return buf;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	case JSON_NULL:
		return "-";
	default:
		return composite_cell(value, buf, size);
	}
}

static bool
is_table(const json_t *value)
{
	return json_is_array(value) && json_array_size(value) && json_is_object(json_array_get(value, 0));
}

static unsigned
find_columns(const json_t *rows, const char **columns)
{
	unsigned n = 0;
	json_t *row, *value;
	const char *key;
	size_t i;

	json_array_foreach (rows, i, row) {
		json_object_foreach (row, key, value) {
			char buf[CELL_SIZE];
			unsigned k = 0;

			// for a single object's view; below
			if (json_is_object(value) || is_table(value))
				continue;
			while (k < n && strcmp(columns[k], key))
				k++;
			if (k == n && n < MAX_COLUMNS && render_cell(key, value, buf, sizeof(buf))[0])
				columns[n++] = key;
		}
	}
	return n;
}

static bool
is_right_aligned(const json_t *rows, const char *key)
{
	return json_is_number(json_object_get(json_array_get(rows, 0), key));
}

static void
print_cell(FILE *out, const char *text, int width, bool is_right, bool is_last)
{
	if (is_right)
		fprintf(out, "%*s", width, text);
	else
		fprintf(out, "%-*s", is_last ? 0 : width, text);
	fputs(is_last ? "\n" : "  ", out);
}

static void render_tables_inside(const json_t *rows, FILE *out, int indent);

static void
render_table(const json_t *rows, FILE *out, int indent)
{
	const char *columns[MAX_COLUMNS];
	unsigned n = find_columns(rows, columns);
	int width[MAX_COLUMNS];
	char buf[CELL_SIZE];
	json_t *row;
	size_t i;

	for (unsigned k = 0; k < n; k++) {
		width[k] = (int)strlen(columns[k]);
		json_array_foreach (rows, i, row) {
			int len = (int)strlen(
				render_cell(columns[k], json_object_get(row, columns[k]), buf, sizeof(buf)));

			width[k] = len > width[k] ? len : width[k];
		}
	}
	fprintf(out, "%*s", indent, "");
	for (unsigned k = 0; k < n; k++)
		print_cell(out, columns[k], width[k], is_right_aligned(rows, columns[k]), k + 1 == n);
	json_array_foreach (rows, i, row) {
		fprintf(out, "%*s", indent, "");
		for (unsigned k = 0; k < n; k++)
			print_cell(out, render_cell(columns[k], json_object_get(row, columns[k]), buf, sizeof(buf)),
				width[k], is_right_aligned(rows, columns[k]), k + 1 == n);
	}
	render_tables_inside(rows, out, indent);
}

// One table of all rows of the inner tables under key. Each row begins with the first member of its
// outer row, its name. New reference.
static json_t *
join_inside(const json_t *rows, const char *key)
{
	json_t *joined = json_array(), *row, *inner;
	size_t i, k;

	json_array_foreach (rows, i, row) {
		void *first = json_object_iter(row);

		if (!is_table(json_object_get(row, key)))
			continue;
		json_array_foreach (json_object_get(row, key), k, inner) {
			json_t *line = json_object();

			if (!is_table(json_object_iter_value(first)))
				(void)json_object_set(line, json_object_iter_key(first), json_object_iter_value(first));
			(void)json_object_update(line, inner);
			(void)json_array_append_new(joined, line);
		}
	}
	return joined;
}

static void
render_tables_inside(const json_t *rows, FILE *out, int indent)
{
	json_t *done = json_object(), *row, *value;
	const char *key;
	size_t i;

	json_array_foreach (rows, i, row) {
		json_object_foreach (row, key, value) {
			json_t *joined;

			if (!is_table(value) || json_object_get(done, key))
				continue;
			(void)json_object_set_new(done, key, json_true());
			fprintf(out, "%*s%s:\n", indent, "", key);
			joined = join_inside(rows, key);
			render_table(joined, out, indent + INDENT);
			json_decref(joined);
		}
	}
	json_decref(done);
}

static void
render_object(const json_t *object, FILE *out, int indent)
{
	char buf[CELL_SIZE * 4];
	const char *key;
	json_t *value;
	int width = 0;

	json_object_foreach ((json_t *)object, key, value)
		width = (int)strlen(key) > width ? (int)strlen(key) : width;
	json_object_foreach ((json_t *)object, key, value) {
		if (is_table(value)) {
			fprintf(out, "%*s%s:\n", indent, "", key);
			render_table(value, out, indent + INDENT);
		} else if (json_is_object(value) && json_object_size(value)) {
			fprintf(out, "%*s%s:\n", indent, "", key);
			render_object(value, out, indent + INDENT);
		} else {
			fprintf(out, "%*s%-*s  %s\n", indent, "", width + 1, key,
				render_cell(key, value, buf, sizeof(buf)));
		}
	}
}

void
render(const json_t *value, FILE *out)
{
	char buf[CELL_SIZE];
	json_t *element;
	size_t i;

	if (json_is_true(value) || json_is_null(value))
		return;
	if (is_table(value))
		render_table(value, out, 0);
	else if (json_is_object(value))
		render_object(value, out, 0);
	else if (json_is_array(value))
		json_array_foreach (value, i, element)
			fprintf(out, "%s\n", render_cell("", element, buf, sizeof(buf)));
	else
		fprintf(out, "%s\n", render_cell("", value, buf, sizeof(buf)));
}
