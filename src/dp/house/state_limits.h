// What ports owe to their limits, and feedback's answers, in a state. Control thread, workers are
// halted.
#pragma once

#include "state.h"

void state_limits_save(struct state_save *s);
bool state_limits_load(struct state_load *l, struct state_record *record);
