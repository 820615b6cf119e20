// Fuzz target: a record of rtvs-wake, from anywhere. An accepted record must make a report whose
// stages add up.
#include "promise.h"
#include "record.h"
#include "report.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void
check_set(const struct tally_set *set)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		PROMISE(set->stages[i].hist.count == set->total.hist.count);
		PROMISE(set->stages[i].hist.max <= set->total.hist.max);
		sum += set->stages[i].hist.sum;
	}
	PROMISE(sum == set->total.hist.sum);
}

static void
check(const struct watch *w, uint64_t end_ns)
{
	FILE *nowhere = fopen("/dev/null", "we");
	json_t *report = report_json(w, end_ns);

	for (unsigned i = 0; i < w->n_ports; i++) {
		check_set(&w->ports[i]->tally.answered);
		check_set(&w->ports[i]->tally.unanswered);
	}
	PROMISE(report != NULL);
	json_decref(report);
	if (nowhere) {
		report_print(w, end_ns, true, nowhere);
		fclose(nowhere);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	char err[RECORD_ERROR_SIZE] = "";
	FILE *in = len ? fmemopen((void *)(uintptr_t)input, len, "r") : NULL;
	struct watch *w = NULL;
	uint64_t end_ns = 0;

	if (!in)
		return 0;
	if (record_read(in, &w, &end_ns, err))
		PROMISE(err[0] != '\0');
	else
		check(w, end_ns);
	watch_destroy(w);
	fclose(in);
	return 0;
}
