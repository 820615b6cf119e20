// Families of metrics as OpenMetrics 1.0 text: each declared once in a table, and printed for every
// object that has it.
#pragma once

#include "rtvs/hist.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FAMILY_LABELS_SIZE 192 // four names or addresses
// Of flows of one kind: more would make a page that no scraper reads.
#define FAMILY_MAX_SERIES 1024

enum kind {
	COUNTER,
	GAUGE, // UINT64_MAX: not known, which is shown as infinite
	SIGNED, // a gauge whose value is an int64_t
};

struct family {
	const char *name, *unit, *help; // unit: "" or what the name ends with
	enum kind kind;
	uint64_t (*value)(const void *object); // in ns where the unit is seconds
};

// Objects in a row, of which each family shows a sample.
struct series {
	// {name="value",... without the closing brace
	void (*labels)(const void *object, char ret_labels[FAMILY_LABELS_SIZE]);
	const void *objects;
	size_t size; // of one
	unsigned n;
};

// A family's value: of *o, an object of the type.
#define FAMILY_VALUE(fn, type, expression)     \
	static uint64_t fn(const void *object) \
	{                                      \
		const type *o = object;        \
		return (uint64_t)(expression); \
	}

// type: as OpenMetrics names it. unit: "" or what the name ends with.
void family_head(FILE *f, const char *name, const char *type, const char *unit, const char *help);
void family_begin(FILE *f, const struct family *family); // its head
// labels: "" or without the closing brace.
void family_sample(FILE *f, const struct family *family, const char *labels, const void *object);
// n families of an object that is the only one of its kind.
void family_one(FILE *f, const struct family *families, unsigned n, const void *object);
// n families, each with a sample of every object of the series.
void family_each(FILE *f, const struct family *families, unsigned n, const struct series *series);
const void *family_object(const struct series *series, unsigned k);
// One series of a family of type histogram, of seconds. labels: without the closing brace.
void family_hist(FILE *f, const char *name, const char *labels, const struct hist *h);
// A family of histograms, each offset bytes inside of its object; without those that are empty.
void family_hists(FILE *f, const char *name, const char *help, const struct series *series, size_t offset);
