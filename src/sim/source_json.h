// The "source" of a scenario's flow.
#pragma once

#include "fields.h"
#include "source.h"

// p->packet is set, unless there is none; link_rate_bps and burst_bytes are the defaults of greedy
// and bursts. 0, -ENOMEM, or -EINVAL with err. source_json_fini either way.
int source_json_read(struct source_params *p, const json_t *object, const char *where, char err[FIELDS_ERROR_SIZE]);
void source_json_fini(struct source_params *p);
