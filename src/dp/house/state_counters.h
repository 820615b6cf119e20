// Counters in a state. Control thread, workers are halted.
#pragma once

#include "state.h"

void state_counters_save(struct state_save *s);
bool state_counters_load_drop(struct state_load *l, struct state_record *record);
bool state_counters_load_port(struct state_load *l, struct state_record *record);
bool state_counters_load_worker(struct state_load *l, struct state_record *record);
bool state_counters_load_totals(struct state_load *l, struct state_record *record);
// After the last record: packets that waited, and that were not loaded, are drops.
void state_counters_finish(struct state_load *l);
