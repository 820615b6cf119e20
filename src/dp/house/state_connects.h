// How often front-ends came and left, in a state. Control thread, workers are halted.
#pragma once

#include "state.h"

void state_connects_save(struct state_save *s);
bool state_connects_load(struct state_load *l, struct state_record *record);
