// Measured arrivals through tunnels, in a state. Control thread, workers are halted.
#pragma once

#include "state.h"

void state_flows_save(struct state_save *s);
bool state_flows_load(struct state_load *l, struct state_record *record);
