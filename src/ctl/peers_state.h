// What is known of peers, for the process that takes over: sessions, clocks, and what was answered
// to reports, as JSON. Both processes may be of other versions: a name that one does not know
// is ignored, and one that is missing, or of another kind, leaves what a new peer has.
#pragma once

#include <jansson.h>

struct ctl;

// NULL: out of memory.
json_t *peers_state_save(const struct ctl *ctl);
// After peers_sync with all ports. A peer, clock or answer that cannot be as it is said begins
// anew. state NULL: all do.
void peers_state_load(struct ctl *ctl, const json_t *state);
