// A bridge as workers know it.
#pragma once

#include "rtvs/mac_table.h"

#include <stdatomic.h>

struct bridge_path {
	uint16_t id;
	struct mac_table macs; // dp: rw, ctl: rw, see mac_table.h
	_Atomic uint64_t full_events; // learnings refused; dp: rw, ctl: ro
	_Atomic uint64_t n_moves; // of MACs from one port to another; dp: rw, ctl: ro
};
