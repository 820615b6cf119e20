// Packets that are followed, beside their methods.
#pragma once

#include "plane.h"

struct rpc_trace {
	const struct plane *plane;
	uint64_t read_ns; // of trace.read or start, CLOCK_MONOTONIC
};

void rpc_trace_tick(struct rpc_trace *trace); // once a second: ends unread traces
