// Learned MACs of bridges in a state. Control thread, workers are halted.
#pragma once

#include "state.h"

void state_macs_save(struct state_save *s);
bool state_macs_load(struct state_load *l, struct state_record *record);
bool state_macs_load_moves(struct state_load *l, struct state_record *record);
