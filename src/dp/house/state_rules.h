// What rules of ports have counted and granted, in a state. Control thread, workers are halted.
#pragma once

#include "state.h"

void state_rules_save(struct state_save *s);
bool state_rules_load(struct state_load *l, struct state_record *record);
