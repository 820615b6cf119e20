// Counters of one port as one worker keeps them, so that no two threads write one. Conservation: rx
// + replicated == tx + queued + to_daemon + drops, over all workers and ports, between two turns.
#pragma once

#include "rtvs/drop.h"

#include <stdint.h>

struct port_counters { // dp: wo (its worker), ctl: ro
	uint64_t rx_pkts, rx_bytes, tx_pkts, tx_bytes;
	uint64_t replicated, to_daemon, prewakes;
	// Put into and taken from the port's handoff ring and its schedule.
	uint64_t queued_in, queued_out;
	uint64_t blocked_ns; // its ring was not read because of full queues
	uint64_t drops[DROP_COUNT];
};

static inline void
counters_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}
