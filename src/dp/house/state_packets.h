// Packets that wait, in a state. Control thread, workers are halted.
#pragma once

#include "state.h"

// Copies them: they go on waiting here.
void state_packets_save(struct state_save *s);
bool state_packets_load(struct state_load *l, struct state_record *record);
