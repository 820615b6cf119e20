// The simulated network: hosts with one egress link each, and flows along paths of them. Made from
// JSON, or by hand.
//
// A flow's deadline is from its source to the end of its last link. Each host's scheduler gets an
// equal share of the part that the links' latencies leave of it. A packet's length is its share of
// links and rates, all headers included.
#pragma once

#include "fields.h"
#include "rtvs/sched.h"
#include "source.h"

#include <jansson.h>

#define SCENARIO_MAX_HOSTS 64u
#define SCENARIO_MAX_FLOWS 1024u
#define SCENARIO_MAX_HOPS 16u
#define SCENARIO_MAX_TRACE 65536u // packets of a trace
#define SCENARIO_MAX_PACKET 65535u
#define SCENARIO_MAX_QUEUE 65536u // packets of a flow at a host
#define SCENARIO_MIN_RATE_BPS (SCHED_RATE_MIN * 8)
#define SCENARIO_MAX_RATE_BPS (SCHED_RATE_MAX * 8)
#define SCENARIO_MAX_LATENCY_NS UINT64_C(1000000000)
#define SCENARIO_MAX_SEED UINT64_C(0x7fffffffffffffff) // what JSON holds
#define SCENARIO_MAX_TIME_NS SCHED_DEADLINE_MAX_NS
#define SCENARIO_NAME_SIZE 32u // with its NUL

struct scenario_host {
	char name[SCENARIO_NAME_SIZE];
	uint64_t link_rate_bps, latency_ns; // of its link
	uint32_t next; // host at the link's end
	bool has_next; // else a sink is there
};

struct scenario_flow {
	char name[SCENARIO_NAME_SIZE];
	uint32_t path[SCENARIO_MAX_HOPS]; // hosts
	uint32_t n_hops;
	struct source_params source;
	uint64_t deadline_ns; // 0: none
	uint64_t min_rate_bps, burst_bytes; // 0: nothing guaranteed
	uint64_t weight, queue;
	bool drops_late;
};

struct scenario {
	uint64_t time_ns, seed;
	struct scenario_host *hosts;
	struct scenario_flow *flows;
	uint32_t n_hosts, n_flows;
};

// 0, -ENOMEM, or -EINVAL with err naming the field and what is accepted.
int scenario_create(const json_t *root, struct scenario **ret_scenario, char err[FIELDS_ERROR_SIZE]);
// From a file. Also negative errno of reading it; err is set in all cases.
int scenario_load(const char *path, struct scenario **ret_scenario, char err[FIELDS_ERROR_SIZE]);
void scenario_destroy(struct scenario *sc); // NULL accepted
