// Runs a scenario under virtual time with one policy at all hosts. Pure and in integers: the same
// result on any machine for the same scenario, policy and seed. Each flow draws from a generator of
// its own, so all policies see the same packets.
#pragma once

#include "policy.h"
#include "rtvs/hist.h"
#include "scenario.h"

#define SIM_MAX_PACKETS (1u << 20) // queued and under way at one time
#define SIM_MAX_EVENTS (UINT64_C(1) << 30)

// sent == delivered + full + late. Sources end at the scenario's time; packets on their way then
// still arrive.
struct sim_flow {
	uint64_t sent, delivered;
	uint64_t full, late; // dropped: too many queued; too late and the flow says drop
	uint64_t missed; // delivered after the flow's deadline
	// Guaranteed by a scheduler and not kept by it: admission promises that there are none.
	uint64_t broken;
	uint64_t bytes; // delivered within the scenario's time
	// sent with tokens for them, with a deadline within the scenario's time
	uint64_t promised_bytes;
	struct hist delay; // ns from source to sink
};

struct sim_host {
	uint64_t bytes; // that left within the scenario's time
};

struct sim_result {
	struct sim_flow *flows; // as the scenario's
	struct sim_host *hosts;
	uint64_t n_events;
};

// 0, -ENOMEM, -ENOSPC (more than SIM_MAX_PACKETS) or -EOVERFLOW (more than SIM_MAX_EVENTS).
int sim_run(const struct scenario *sc, enum policy_type policy, uint64_t seed, struct sim_result *ret_result);
void sim_fini(struct sim_result *result);
