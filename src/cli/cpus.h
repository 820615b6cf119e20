// Sets of the machine's CPUs, and the lists ("0-3,8") in which the kernel and people write them.
// Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPUS_MAX 1024 // CPUs 0 to 1023
#define CPUS_TEXT_SIZE 256 // of a list in a sentence

struct cpus {
	uint64_t word[CPUS_MAX / 64];
};

bool cpus_has(const struct cpus *set, unsigned cpu); // false beyond CPUS_MAX
void cpus_add(struct cpus *set, unsigned cpu); // nothing beyond CPUS_MAX
void cpus_unite(struct cpus *set, const struct cpus *other);
void cpus_subtract(struct cpus *set, const struct cpus *other);
unsigned cpus_count(const struct cpus *set);
bool cpus_overlap(const struct cpus *a, const struct cpus *b);
bool cpus_is_within(const struct cpus *part, const struct cpus *whole);
// The first CPU from `from` on; CPUS_MAX: none.
unsigned cpus_next(const struct cpus *set, unsigned from);
// A list as in /sys, up to the end of the line: "0-3,8", "" and "(null)" are the empty set. 0,
// -EINVAL (no list) or -ERANGE (beyond CPUS_MAX).
int cpus_parse(const char *text, struct cpus *ret_set);
// The list; one that does not fit ends in "...". Returns buf.
const char *cpus_format(const struct cpus *set, char *buf, size_t size);
