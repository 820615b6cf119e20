// Senders of scheduled ports in a state. Control thread, workers are halted.
#pragma once

#include "state.h"

void state_senders_save(struct state_save *s);
bool state_senders_load_link(struct state_load *l, struct state_record *record);
bool state_senders_load(struct state_load *l, struct state_record *record);
