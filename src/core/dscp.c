// Table of deadline classes: its text form, both ways, and the lookup. The control plane checks
// operators' tables with it. The datapath looks a class up once for each port and configuration,
// never for a packet. This directory may not use units.c, so times are parsed here, in whole
// numbers. Invariant: parse(format(t)) == t. All loops end with the text or after DSCP_MAX_CLASSES
// entries.
#include "rtvs/dscp.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SHOWN_MAX 32 // bytes of a wrong entry that an error repeats

// A piece of a text, without a NUL of its own.
struct piece {
	const char *text;
	size_t len;
};

// Appends as much as fits, always terminated.
struct writer {
	char *buf;
	size_t size, len;
};

static const struct unit {
	char name[4];
	uint64_t factor;
} units[] = {
	{"h", UINT64_C(3600000000000)},
	{"min", UINT64_C(60000000000)},
	{"s", UINT64_C(1000000000)},
	{"ms", 1000000},
	{"us", 1000},
	{"ns", 1},
};
#define N_UNITS (sizeof(units) / sizeof(units[0]))

static void
put(struct writer *w, const char *text, size_t len)
{
	size_t room = w->size - w->len - 1;

	if (len > room)
		len = room;
	memcpy(w->buf + w->len, text, len);
	w->len += len;
	w->buf[w->len] = '\0';
}

static void
put_text(struct writer *w, const char *text)
{
	put(w, text, strlen(text));
}

static void
put_number(struct writer *w, uint64_t value)
{
	char digits[20]; // of 2^64
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(w, digits + at, sizeof(digits) - at);
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
piece_is(const struct piece *p, const char *name)
{
	size_t i = 0;

	while (i < p->len && name[i] && lower(p->text[i]) == name[i])
		i++;
	return i == p->len && !name[i];
}

// Cuts the text before the separator off the front of p. False: there is no separator, and ret_head
// is all of p.
static bool
cut(struct piece *p, char separator, struct piece *ret_head)
{
	size_t i = 0;

	while (i < p->len && p->text[i] != separator)
		i++;
	*ret_head = (struct piece){p->text, i};
	if (i == p->len)
		return false;
	p->text += i + 1;
	p->len -= i + 1;
	return true;
}

// Cuts the digits off the front of p. False: there are none, or their number is above max.
static bool
cut_number(struct piece *p, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < p->len && p->text[i] >= '0' && p->text[i] <= '9'; i++) {
		value = value * 10 + (uint64_t)(p->text[i] - '0'); // max <= 2^42: below 2^46
		if (value > max)
			return false;
	}
	p->text += i;
	p->len -= i;
	*ret_value = value;
	return i > 0;
}

static bool
parse_deadline(struct piece p, uint64_t *ret_ns)
{
	uint64_t value, factor;

	if (!cut_number(&p, DSCP_DEADLINE_MAX_NS, &value))
		return false;
	factor = p.len ? 0 : 1;
	for (size_t i = 0; i < N_UNITS; i++)
		if (piece_is(&p, units[i].name))
			factor = units[i].factor;
	if (!factor || !value || value > DSCP_DEADLINE_MAX_NS / factor)
		return false;
	*ret_ns = value * factor;
	return true;
}

// Class selectors (RFC 2474) and assured forwarding (RFC 2597) are numbers in disguise.
static bool
parse_numbered_name(const struct piece *p, uint8_t *ret_dscp)
{
	unsigned a = p->len > 2 ? (unsigned)(p->text[2] - '0') : 0;
	unsigned b = p->len > 3 ? (unsigned)(p->text[3] - '0') : 0;

	if (p->len == 3 && lower(p->text[0]) == 'c' && lower(p->text[1]) == 's' && a < 8)
		*ret_dscp = (uint8_t)(8 * a);
	else if (p->len == 4 && lower(p->text[0]) == 'a' && lower(p->text[1]) == 'f' && a - 1 < 4 && b - 1 < 3)
		*ret_dscp = (uint8_t)(8 * a + 2 * b);
	else
		return false;
	return true;
}

static bool
parse_dscp(struct piece p, uint8_t *ret_dscp)
{
	static const struct {
		char name[4];
		uint8_t dscp;
	} names[] = {{"ef", 46}, {"va", 44}, {"le", 1}, {"df", 0}};
	uint64_t value;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (piece_is(&p, names[i].name)) {
			*ret_dscp = names[i].dscp;
			return true;
		}
	}
	if (parse_numbered_name(&p, ret_dscp))
		return true;
	if (!cut_number(&p, DSCP_MAX, &value) || p.len)
		return false;
	*ret_dscp = (uint8_t)value;
	return true;
}

// The error in one entry, NULL: none, it is the table's next.
static const char *
parse_entry(struct piece entry, struct dscp_table *table)
{
	struct dscp_class class = {0};
	struct piece deadline;

	if (table->n == DSCP_MAX_CLASSES)
		return "there are 8 classes at most";
	if (!cut(&entry, ':', &deadline))
		return "must be DEADLINE:DSCP, like 10ms:af41";
	if (!parse_deadline(deadline, &class.deadline_ns))
		return "the deadline must be a whole number with a unit, 1ns to 1h, like 10ms";
	if (!parse_dscp(entry, &class.dscp))
		return "the DSCP must be 0 to 63, or a name like ef, af41 or cs6";
	if (table->n && class.deadline_ns <= table->classes[table->n - 1].deadline_ns)
		return "the deadline must be longer than the one before";
	table->classes[table->n++] = class;
	return NULL;
}

int
dscp_parse(const char *text, struct dscp_table *ret_table, char ret_err[DSCP_ERR_SIZE])
{
	struct dscp_table table = {0};
	struct piece rest = {text, strlen(text)}, entry;
	bool has_more;

	do {
		const char *wrong;

		has_more = cut(&rest, ',', &entry);
		if (!has_more && !entry.len && !table.n)
			break;
		wrong = parse_entry(entry, &table);
		if (wrong) {
			struct writer w = {ret_err, DSCP_ERR_SIZE, 0};

			put_text(&w, "entry ");
			put_number(&w, table.n + 1u);
			put_text(&w, " ('");
			put(&w, entry.text, entry.len < SHOWN_MAX ? entry.len : SHOWN_MAX);
			put_text(&w, entry.len > SHOWN_MAX ? "...'): " : "'): ");
			put_text(&w, wrong);
			return -EINVAL;
		}
	} while (has_more);
	*ret_table = table;
	return 0;
}

void
dscp_format(const struct dscp_table *table, char ret_text[DSCP_TEXT_SIZE])
{
	struct writer w = {ret_text, DSCP_TEXT_SIZE, 0};

	ret_text[0] = '\0';
	for (unsigned i = 0; i < table->n; i++) {
		const struct dscp_class *class = &table->classes[i];
		const struct unit *unit = units;

		while (class->deadline_ns % unit->factor) // the last one is 1
			unit++;
		if (i)
			put_text(&w, ",");
		put_number(&w, class->deadline_ns / unit->factor);
		put_text(&w, unit->name);
		put_text(&w, ":");
		put_number(&w, class->dscp);
	}
}

uint8_t
dscp_find(const struct dscp_table *table, uint64_t deadline_ns)
{
	for (unsigned i = 0; deadline_ns && i < table->n; i++)
		if (deadline_ns <= table->classes[i].deadline_ns)
			return table->classes[i].dscp;
	return DSCP_KEEP;
}
