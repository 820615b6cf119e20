// The text of the format, https://prometheus.io/docs/specs/om/open_metrics_spec/. Labels are
// written unchanged: their makers use none that need an escape.
#include "family.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

void
family_head(FILE *f, const char *name, const char *type, const char *unit, const char *help)
{
	(void)fprintf(f, "# TYPE rtvs_%s %s\n", name, type);
	if (unit[0])
		(void)fprintf(f, "# UNIT rtvs_%s %s\n", name, unit);
	(void)fprintf(f, "# HELP rtvs_%s %s\n", name, help);
}

void
family_begin(FILE *f, const struct family *family)
{
	family_head(f, family->name, family->kind == COUNTER ? "counter" : "gauge", family->unit, family->help);
}

static void
print_seconds(FILE *f, uint64_t ns, const char *sign)
{
	(void)fprintf(f, "%s%" PRIu64 ".%09" PRIu64 "\n", sign, ns / 1000000000, ns % 1000000000);
}

void
family_sample(FILE *f, const struct family *family, const char *labels, const void *object)
{
	uint64_t value = family->value(object);
	bool is_negative = family->kind == SIGNED && value >> 63;

	(void)fprintf(f, "rtvs_%s%s%s%s ", family->name, family->kind == COUNTER ? "_total" : "", labels,
		labels[0] ? "}" : "");
	if (family->kind == GAUGE && value == UINT64_MAX)
		(void)fputs("+Inf\n", f);
	else if (strcmp(family->unit, "seconds") == 0)
		print_seconds(f, is_negative ? 0 - value : value, is_negative ? "-" : "");
	else
		(void)fprintf(f, "%" PRIu64 "\n", value);
}

const void *
family_object(const struct series *series, unsigned k)
{
	return (const char *)series->objects + k * series->size;
}

void
family_each(FILE *f, const struct family *families, unsigned n, const struct series *series)
{
	char labels[FAMILY_LABELS_SIZE];

	for (unsigned i = 0; i < n; i++) {
		family_begin(f, &families[i]);
		for (unsigned k = 0; k < series->n; k++) {
			series->labels(family_object(series, k), labels);
			family_sample(f, &families[i], labels, family_object(series, k));
		}
	}
}

void
family_one(FILE *f, const struct family *families, unsigned n, const void *object)
{
	for (unsigned i = 0; i < n; i++) {
		family_begin(f, &families[i]);
		family_sample(f, &families[i], "", object);
	}
}

// Bounds are powers of two ns, where the histogram has exact ones: from 16 us to 17 s.
void
family_hist(FILE *f, const char *name, const char *labels, const struct hist *h)
{
	uint64_t count = 0;
	unsigned power = 14;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t bound = (UINT64_C(1) << power) - 1;
		count += h->bucket[i];
		if (power > 34 || hist_bucket_high(i) != bound)
			continue;
		(void)fprintf(
			f, "rtvs_%s_bucket%s,le=\"%.12g\"} %" PRIu64 "\n", name, labels, (double)bound / 1e9, count);
		power++;
	}
	(void)fprintf(f, "rtvs_%s_bucket%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, count);
	(void)fprintf(f, "rtvs_%s_count%s} %" PRIu64 "\n", name, labels, count);
	(void)fprintf(f, "rtvs_%s_sum%s} %.9f\n", name, labels, (double)h->sum / 1e9);
}

void
family_hists(FILE *f, const char *name, const char *help, const struct series *series, size_t offset)
{
	char labels[FAMILY_LABELS_SIZE];

	family_head(f, name, "histogram", "seconds", help);
	for (unsigned k = 0; k < series->n; k++) {
		const struct hist *h = (const void *)((const char *)family_object(series, k) + offset);

		series->labels(family_object(series, k), labels);
		if (h->count)
			family_hist(f, name, labels, h);
	}
}
