// The counts of a simulated control loop: totals of a flow of all hosts, and its course over time.
#pragma once

#include "loop_scenario.h"
#include "rtvs/hist.h"

#define LOOP_RESULT_MAX_SAMPLES 100000u
// Misses of a host that are further apart are two episodes.
#define LOOP_RESULT_QUIET_NS UINT64_C(100000000)

// Of all hosts, as it was at a time, and of the packets sent from then to the next.
struct loop_result_sample {
	uint64_t missed, worst_ns; // packets; largest delay
	uint64_t deadline_min_ns, deadline_sum_ns; // for the schedulers
	uint64_t step_sum;
	uint64_t shortened, raised, escalated; // hosts
};

// sent == delivered + full + lost. Sources end at the scenario's time; packets on their way then
// still arrive.
struct loop_result_flow {
	uint64_t sent, delivered;
	uint64_t full, lost; // dropped: at the host, in the network
	uint64_t missed; // delivered after the deadline, which only the simulator knows
	uint64_t missed_most; // of them, of one host
	uint64_t episodes; // of misses, of all hosts
	uint64_t longest_ns; // of an episode, from its first miss to its last, by sending time
	uint64_t reports, reports_lost;
	uint64_t reports_most; // of one host in a second
	uint64_t events[FEEDBACK_EVENTS];
	uint64_t at_start; // hosts whose controller was as at the start in the end
	struct hist delay; // ns, end to end
	struct loop_result_sample *samples;
};

struct loop_result {
	struct loop_result_flow flows[LOOP_MAX_FLOWS];
	uint64_t sample_ns;
	uint32_t n_samples;
	uint64_t cross_sent, cross_lost;
	uint64_t n_events;
};

// The state for counting one host's flow. Begins as zero.
struct loop_result_tally {
	uint64_t missed, first_missed_ns, last_missed_ns; // first, last: of the episode
	uint64_t reports, second_ns; // since then, for a second
};

// 0 or -ENOMEM; to be finished either way.
int loop_result_init(struct loop_result *r, const struct loop_scenario *sc);
void loop_result_fini(struct loop_result *r); // again, too
void loop_result_deliver(struct loop_result *r, uint32_t flow, struct loop_result_tally *tally, uint64_t deadline_ns,
	uint64_t created_ns, uint64_t delay_ns);
void loop_result_report(struct loop_result_flow *f, struct loop_result_tally *tally, uint64_t now_ns);
// One host's controller into the sample of this time.
void loop_result_sample(struct loop_result *r, uint32_t flow, const struct feedback *control, uint64_t now_ns);
