// The scenario of feedback between hosts: up to 1,000 hosts, each with a link of its own and the
// same flows, send through one link that all share. There, the step of the DSCP ladder decides
// which queue is served, and cross traffic comes and goes. Receivers report late packets to
// senders; the reports are delayed, lost and re-ordered. Made from JSON, or by hand.
//
// A packet's length is its share of links and rates, all headers included.
#pragma once

#include "fields.h"
#include "rtvs/feedback.h"
#include "scenario.h"
#include "stream.h"

#include <jansson.h>

#define LOOP_MAX_HOSTS 1000u
#define LOOP_MAX_FLOWS 8u // of each host
#define LOOP_MAX_CROSS 8u
#define LOOP_MAX_LOSS_PERCENT 100u

struct loop_flow {
	char name[SCENARIO_NAME_SIZE];
	struct source_params source; // start_ns is from the start of a period
	uint64_t deadline_ns; // end to end; 0: none, and no feedback
	uint64_t min_rate_bps, burst_bytes; // 0: nothing guaranteed
	uint64_t weight, queue; // at the host
	uint64_t latency_ns; // from the shared link to the receiver
	struct stream_times times;
};

struct loop_cross {
	char name[SCENARIO_NAME_SIZE];
	struct source_params source;
	uint64_t step;
	struct stream_times times;
};

struct loop_scenario {
	uint64_t time_ns, seed;
	uint64_t sample_ns; // of what is drawn over time; 0: a 500th of it
	struct {
		uint64_t count, link_rate_bps, latency_ns; // latency: to the shared link
		uint64_t spread_ns; // sources of different hosts begin within
		uint64_t clock_error_ns; // delays are off by up to this, which is known
	} hosts;
	struct {
		uint64_t link_rate_bps, queue, steps; // queue: packets of each step
	} network;
	struct {
		uint64_t interval_ns, latency_ns, jitter_ns;
		uint64_t loss_percent, loss_hosts; // of the first hosts' reports
		struct stream_times loss_times;
	} reports;
	struct {
		uint64_t gain, margin, floor; // permille
		uint64_t clean_ns, clean_max_ns, forgive_ns, silence_ns;
	} feedback;
	struct loop_flow flows[LOOP_MAX_FLOWS];
	struct loop_cross cross[LOOP_MAX_CROSS];
	uint32_t n_flows, n_cross;
};

// Whether the JSON is one of these and not a scenario of paths.
bool loop_scenario_is_one(const json_t *root);
// 0, -ENOMEM, or -EINVAL with err naming the field and what is accepted.
int loop_scenario_create(const json_t *root, struct loop_scenario **ret_scenario, char err[FIELDS_ERROR_SIZE]);
void loop_scenario_destroy(struct loop_scenario *sc); // NULL accepted
// Parameters of a flow's controller, checked. The flow has a deadline.
struct feedback_params loop_scenario_control(const struct loop_scenario *sc, uint32_t flow, enum feedback_mode mode);
