// The state of a halted datapath for the process that takes over from this one (dp_state_save in
// rtvs/dp.h): what the files state_*.c share. Each of them has the records of one noun: a function
// that appends them, and one that takes one of them. Control thread, workers are halted.
//
// Numbers of ports and bridges in records are those of the datapath that saved; records of their
// names come first. Times are CLOCK_MONOTONIC, because the datapaths' own clocks differ.
#pragma once

#include "dp_state.h"
#include "state_record.h"

// Types of records. A number is for ever: that of a type that is given up is not used again.
enum state_type {
	STATE_END = 1, // without it the state is cut short
	STATE_PORT = 2, // state_names.c
	STATE_BRIDGE = 3,
	STATE_MACS = 5, // state_macs.c
	STATE_MOVES = 6,
};

struct state_save {
	struct dp *dp;
	struct state_writer out;
	uint64_t now_ns;
	int64_t to_monotonic_ns; // CLOCK_MONOTONIC - the datapath's clock
};

struct state_load {
	struct dp *dp;
	struct dp_state_loaded *told;
	uint64_t now_ns;
	int64_t to_monotonic_ns;
	uint64_t passed_ns; // since the state was saved
	// By the number in the state. NULL: it was not named, or is not here.
	struct port *port[DP_MAX_PORTS];
	struct bridge *bridge[DP_MAX_BRIDGES];
	// numbers in the state that have a name; ids here that have one
	struct port_set named, taken;
};

// Takes one record. False: it is not used, because its content cannot be.
typedef bool state_load_fn(struct state_load *l, struct state_record *record);

static inline struct port *
state_port(const struct state_load *l, uint32_t number)
{
	return number < DP_MAX_PORTS ? l->port[number] : NULL;
}

static inline struct bridge *
state_bridge(const struct state_load *l, uint32_t number)
{
	return number < DP_MAX_BRIDGES ? l->bridge[number] : NULL;
}

// A payload that is one struct.
static inline bool
state_take_all(struct state_record *record, void *to, size_t len)
{
	return record->left == len && state_record_take(record, to, len);
}
