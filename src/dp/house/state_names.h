// Names of ports and bridges in a state. Control thread.
#pragma once

#include "state.h"

#define STATE_NAMES_VERSION 1 // uint32_t number; the name, without an end

// Appends one record: `type` with a number and its name.
void state_names_put(struct state_writer *w, enum state_type type, uint32_t number, const char *name);
// False: there is no number, or no name that fits.
bool state_names_take(struct state_record *record, uint32_t *ret_number, char ret_name[RTVS_NAME_SIZE]);

void state_names_save(struct state_save *s);
bool state_names_load_port(struct state_load *l, struct state_record *record);
bool state_names_load_bridge(struct state_load *l, struct state_record *record);
