// The results of a run, as JSON made of integers only, and that JSON as tables for people.
#pragma once

#include "sim.h"

#include <jansson.h>
#include <stdio.h>

// NULL: out of memory. Per host with an egress link; *ret_fits: all of them.
json_t *report_admission(const struct scenario *sc, bool *ret_fits);
json_t *report_result(const struct scenario *sc, enum policy_type policy, const struct sim_result *result);

void report_print_admission(const json_t *admission, FILE *out);
void report_print_result(const json_t *result, FILE *out);
