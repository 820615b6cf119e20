// The rate of a segment between processes of this host: half of the nodes send from one CPU, half
// receive at another, all poll.
#pragma once

#include "rtvs/segment_file.h"

#include <stddef.h>
#include <stdint.h>

#define MEASURE_MAX_PEERS 4 // nodes that each node sends to at most
#define MEASURE_FCS 4 // bytes of a frame that are on a wire and not in memory

struct measure_spec {
	const char *path;
	unsigned n_nodes; // even, 2 to what the segment has free
	uint32_t frame; // bytes as on a wire, 64 to SEGMENT_MAX_FRAME + MEASURE_FCS
	uint32_t warmup_ms, ms; // of each of the two measurements
	unsigned cpu[2]; // of who sends, of who receives
};

struct measure_result {
	double mpps, gbps; // received
	uint64_t sent, lost;
	uint64_t stalls_us; // times without a turn of the receiver: another thread had its CPU
	double rtt_p50_us, rtt_p99_us;
	uint64_t pings, pings_lost;
};

// Joins the nodes, measures, leaves. Forks: for a process with one thread. 0 or a negative errno,
// then err has the reason.
int measure_run(const struct measure_spec *spec, struct measure_result *ret_result, char err[SEGMENT_ERR_SIZE]);
