// Counters: control thread.
#pragma once

#include "port.h"

// No worker uses the port any more: what was on its way to it is dropped, its counters are history.
// Of an id that no port has: its counters are history.
void stats_retire_id(struct dp *dp, uint16_t id);
void stats_retire(struct dp *dp, struct port *port);
