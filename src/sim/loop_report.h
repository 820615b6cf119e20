// The results of a run of feedback, as JSON made of integers only, and that JSON as a table for
// people.
#pragma once

#include "loop.h"

#include <jansson.h>
#include <stdio.h>

extern const char *const loop_report_modes[]; // of enum feedback_mode

// NULL: out of memory.
json_t *loop_report_result(const struct loop_scenario *sc, enum feedback_mode mode, const struct loop_result *result);
void loop_report_print(const json_t *result, FILE *out);
