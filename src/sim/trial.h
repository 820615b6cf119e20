// Random flow sets against admission's answers. Admitted sets are tried with the worst possible
// arrivals, and must be kept. Refused sets are shown to be impossible.
#pragma once

#include "rtvs/admission.h"

#include <stdbool.h>
#include <stdint.h>

#define TRIAL_MAX_SETS 1000000u
#define TRIAL_MAX_FLOWS 6u

struct trial_counts {
	uint64_t sets, admitted, refused;
	uint64_t runs, packets; // simulated
	uint64_t broken; // admitted sets in which a packet was late
	uint64_t shown; // refused sets in which a packet was late
	// Refused by less than the packets that have not come whole by then, and none was late.
	uint64_t partial;
	uint64_t not_shown; // refused by more, and none was late
	// largest part of its deadline that a packet of an admitted set took
	uint64_t closest_permille;
};

// One refused set, for who wants to see it.
struct trial_example {
	uint64_t set, worst_late_ns;
	uint32_t n_flows;
	struct admission_result result;
};
typedef void (*trial_example_fn)(void *arg, const struct trial_example *example);

// example: may be NULL. 0, or an error of sim_run.
int trial_run(uint64_t n_sets, uint64_t seed, trial_example_fn example, void *arg, struct trial_counts *ret_counts);
// Whether admission was right about all of them.
bool trial_is_right(const struct trial_counts *counts);
