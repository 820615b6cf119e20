// The results of a watch, for programs (JSON) and for people (tables, advice, histograms).
#pragma once

#include "watch.h"

#include <jansson.h>
#include <stdio.h>

// New reference; NULL: out of memory.
json_t *report_json(const struct watch *w, uint64_t end_ns);
void report_print(const struct watch *w, uint64_t end_ns, bool has_hist, FILE *out);
