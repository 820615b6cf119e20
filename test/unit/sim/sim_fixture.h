// Scenarios of tests, written as JSON in which ' stands for ".
#pragma once

#include "scenario.h"

json_t *sim_fixture_json(const char *text);
// Fails the test when it is refused.
struct scenario *sim_fixture_scenario(const char *text);
// Expects a refusal whose text contains `part`.
void sim_fixture_refused(const char *text, const char *part);
