// Which ids ports get (dp_ids_want in rtvs/dp.h). Control thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct dp;

// The id of the next port, if it has this name: the wanted one, or else the lowest that is free and
// not wanted by others. DP_MAX_PORTS: none is free.
uint16_t state_ids_next(const struct dp *dp, const char *name);
bool state_ids_has(const struct dp *dp, uint32_t id); // is it wanted?
void state_ids_got(struct dp *dp, const char *name); // a port of this name was added
void state_ids_forget(struct dp *dp); // nothing is wanted any more
