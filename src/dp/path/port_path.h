// A port as workers know it: its device, and the state that workers share. The configuration is in
// the view. It lives as long as the port.
#pragma once

#include "base/mailbox.h"
#include "io/device.h"

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
	struct mailbox inject; // packets from the control thread; the owner takes
	struct mailbox handoff; // from workers that do not own it; the owner takes
	// Limits of the packets from it, whichever workers poll it (rtvs/rate.h): max_rate,
	// flood_rate, the guaranteed rate for raised DSCPs.
	struct {
		uint64_t max_rate, flood, raised;
	} paid __rte_cache_aligned; // dp: rw, atomic; ctl: wo
};
