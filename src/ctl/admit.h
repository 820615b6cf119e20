// Admission: which guarantees the egress ports of a model can keep. The test is core's
// (rtvs/admission.h); here ports become flows.
#pragma once

#include "model.h"

#include <jansson.h>

// The part of a link's time that a worker's own turn takes before the scheduler acts.
#define ADMIT_LATENCY_NS UINT64_C(50000)

// Could the model's egress ports with a rate keep all guarantees if cfg, a further port or a change
// of one, were in it? 0, or -ENOSPC with err: which egress port, by which time, and what would fit.
int admit_check(const struct model *model, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]);
// The same for the present model. *ret_name, then: the port that would have to change, `changed`
// (NULL: any) if that would help.
int admit_check_all(
	const struct model *model, const struct model_port *changed, const char **ret_name, char err[DP_ERR_SIZE]);
// From arrival to departure of what the port sends within its guarantee, at most.
uint64_t admit_bound_ns(const struct dp_port_cfg *cfg);
// Does an egress port with a rate on this port's bridge reserve more than it can keep? That is so
// after force=true. admit_floor_ns: the shortest deadline that the port's packets could have, all
// else being equal; 0: any.
uint64_t admit_floor_ns(const struct model *model, const struct dp_port_cfg *cfg);
bool admit_is_broken(const struct model *model, const struct dp_port_cfg *cfg);
