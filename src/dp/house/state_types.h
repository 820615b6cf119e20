// What types of ports keep of their far ends (save and restore in port_type.h), in a state. Control
// thread, workers are halted.
#pragma once

#include "state.h"

void state_types_save(struct state_save *s);
bool state_types_load(struct state_load *l, struct state_record *record);
