// Scenarios of tests, written as JSON in which ' stands for ".
#pragma once

#include "scenario.h"

// Fails the test when it is refused.
struct scenario *sim_fixture_scenario(const char *text);
// Expects a refusal whose text contains `part`.
void sim_fixture_refused(const char *text, const char *part);
