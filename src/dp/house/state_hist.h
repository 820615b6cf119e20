// A histogram as a part of a record.
#pragma once

#include "rtvs/hist.h"
#include "state_record.h"

void state_hist_put(struct state_writer *w, const struct hist *hist);
// False: that is no histogram; *ret_hist is undefined then.
bool state_hist_take(struct state_record *record, struct hist *ret_hist);
