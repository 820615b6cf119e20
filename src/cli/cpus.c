// Sets of CPUs as bitmaps. /sys has lists of them for CPUs, threads and interrupts, and advice
// compares such lists.
#include "cpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS (CPUS_MAX / 64)

bool
cpus_has(const struct cpus *set, unsigned cpu)
{
	return cpu < CPUS_MAX && (set->word[cpu / 64] >> (cpu % 64) & 1);
}

void
cpus_add(struct cpus *set, unsigned cpu)
{
	if (cpu < CPUS_MAX)
		set->word[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

void
cpus_unite(struct cpus *set, const struct cpus *other)
{
	for (unsigned i = 0; i < WORDS; i++)
		set->word[i] |= other->word[i];
}

void
cpus_subtract(struct cpus *set, const struct cpus *other)
{
	for (unsigned i = 0; i < WORDS; i++)
		set->word[i] &= ~other->word[i];
}

unsigned
cpus_count(const struct cpus *set)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WORDS; i++)
		n += (unsigned)__builtin_popcountll(set->word[i]);
	return n;
}

bool
cpus_overlap(const struct cpus *a, const struct cpus *b)
{
	for (unsigned i = 0; i < WORDS; i++)
		if (a->word[i] & b->word[i])
			return true;
	return false;
}

bool
cpus_is_within(const struct cpus *part, const struct cpus *whole)
{
	for (unsigned i = 0; i < WORDS; i++)
		if (part->word[i] & ~whole->word[i])
			return false;
	return true;
}

unsigned
cpus_next(const struct cpus *set, unsigned from)
{
	while (from < CPUS_MAX && !cpus_has(set, from))
		from++;
	return from;
}

static bool
is_end(char c)
{
	return c == '\0' || c == '\n' || c == ' ';
}

// One number; *at moves behind it.
static int
parse_cpu(const char **at, unsigned *ret_cpu)
{
	char *end;
	unsigned long n;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	n = strtoul(*at, &end, 10);
	if (n >= CPUS_MAX)
		return -ERANGE;
	*at = end;
	*ret_cpu = (unsigned)n;
	return 0;
}

int
cpus_parse(const char *text, struct cpus *ret_set)
{
	struct cpus set = {0};
	const char *at = text;

	if (!strncmp(at, "(null)", 6))
		at += 6;
	while (!is_end(*at)) {
		unsigned first = 0, last;
		int rc = parse_cpu(&at, &first);

		last = first;
		if (!rc && *at == '-') {
			at++;
			rc = parse_cpu(&at, &last);
		}
		if (!rc && (last < first || (*at != ',' && !is_end(*at))))
			rc = -EINVAL;
		if (rc)
			return rc;
		for (; first <= last; first++)
			cpus_add(&set, first);
		if (*at == ',' && is_end(*++at))
			return -EINVAL;
	}
	*ret_set = set;
	return 0;
}

const char *
cpus_format(const struct cpus *set, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned cpu = cpus_next(set, 0), last; cpu < CPUS_MAX; cpu = cpus_next(set, last + 1)) {
		char piece[32];
		int n;

		for (last = cpu; cpus_has(set, last + 1); last++)
			;
		n = snprintf(piece, sizeof(piece), last > cpu ? "%s%u-%u" : "%s%u", at ? "," : "", cpu, last);
		// Room for the dots must be left, too.
		if (at + (size_t)n + 4 >= size) {
			(void)snprintf(buf + at, size - at, "...");
			return buf;
		}
		at += (size_t)snprintf(buf + at, size - at, "%s", piece);
	}
	return buf;
}
