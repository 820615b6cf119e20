// A port as workers know it: its device, and the state that workers share. The configuration is in
// the view. It lives as long as the port.
#pragma once

#include "base/mailbox.h"
#include "io/device.h"
#include "rtvs/dp.h"
#include "rtvs/dscp.h"

struct port_path {
	struct device device;
	uint16_t id;
	uint16_t owner; // worker that transmits on it
	// Of all ports of this process, from 1: tells ports apart that have the same id one after
	// another.
	uint64_t serial;
	// Learned entries that name this port; dp, ctl: rw. Below 0 for a moment: an entry may go
	// before the worker that made it has counted it.
	_Atomic int32_t n_macs;
	// Until when it is not polled, ns, and by which egress port: see backpressure.h. 0: it is.
	_Atomic uint64_t held;
	_Atomic uint64_t answer; // feedback's, see port_answer. ctl: wo, dp: ro
	struct mailbox inject; // packets from the control thread; the owner takes
	struct mailbox handoff; // from workers that do not own it; the owner takes
	// Limits of the packets from it, whichever workers poll it (rtvs/rate.h): max_rate,
	// flood_rate, the guaranteed rate for raised DSCPs, what goes to a representor.
	struct {
		uint64_t max_rate, flood, raised, miss;
	} paid __rte_cache_aligned; // dp: rw, atomic; ctl: wo
};

// What feedback made of what the port sends, in one word: workers see all of it, or none. A
// deadline has 48 bits, 78 hours.
struct port_answer {
	uint64_t deadline_ns; // 0: as configured
	uint8_t dscp, excess; // DSCP_KEEP: as configured. excess: beyond min_rate
};
_Static_assert(DP_DEADLINE_MAX_NS < UINT64_C(1) << 48, "a deadline fits");
#define PORT_NO_ANSWER ((uint64_t)DSCP_KEEP << 56 | (uint64_t)DSCP_KEEP << 48)

static inline uint64_t
port_answer_word(const struct port_answer *a)
{
	return (uint64_t)a->dscp << 56 | (uint64_t)a->excess << 48 | a->deadline_ns;
}

static inline struct port_answer
port_answer(uint64_t word)
{
	return (struct port_answer){.deadline_ns = word & ((UINT64_C(1) << 48) - 1),
		.dscp = (uint8_t)(word >> 56),
		.excess = (uint8_t)(word >> 48)};
}
