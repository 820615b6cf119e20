// What ports owe to their limits, and feedback's answers, in a state. Control thread, workers are
// halted.
#pragma once

#include "state.h"

void state_limits_save(struct state_save *s);
bool state_limits_load(struct state_load *l, struct state_record *record);
// Until when a limit is paid for, as a state has it. load: not further ahead than the limit could
// have been.
int64_t state_limits_save_paid(const struct state_save *s, const uint64_t *paid);
void state_limits_load_paid(const struct state_load *l, const struct rate_limit *limit, uint64_t *paid, int64_t saved);
