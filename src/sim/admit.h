// The promises that the hosts of a scenario can keep.
#pragma once

#include "rtvs/admission.h"
#include "scenario.h"

// Parameters of a flow for the scheduler at its hop'th host.
void admit_hop_params(
	const struct scenario *sc, const struct scenario_flow *f, uint32_t hop, struct sched_params *ret_params);
// Whether the host's link can keep the promises to its flows with a min_rate. id in the result is
// the flow's number. 0 or -ENOMEM.
int admit_host(const struct scenario *sc, uint32_t host, struct admission_result *ret_result);
