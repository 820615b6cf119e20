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
	STATE_DROP = 4, // state_counters.c: the name of a drop reason
	STATE_MACS = 5, // state_macs.c
	STATE_MOVES = 6,
	STATE_COUNTERS = 7, // state_counters.c
	STATE_WORKER = 8,
	STATE_TOTALS = 9,
	STATE_LIMITS = 10, // state_limits.c
	STATE_LINK = 11, // state_senders.c
	STATE_SENDER = 12,
	STATE_PACKET = 13, // state_packets.c
	STATE_HOP = 14, // state_hops.c
	STATE_TYPE = 15, // state_types.c
	STATE_FLOW = 16, // state_flows.c
	STATE_CONNECTS = 17, // state_connects.c
	STATE_RULE = 18, // state_rules.c
};

#define STATE_MAX_DROPS 256 // reasons that a state names

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
	// a reason here, plus 1, by its number in the state; 0: none
	uint32_t rule_slot; // behind the last rule that was found
	uint16_t drop[STATE_MAX_DROPS];
	bool has_gone; // counters of ports that are gone
	struct port_set counted; // numbers in the state whose counters were loaded
	// packets for ports here that are counted and not loaded yet
	uint64_t n_waiting[DP_MAX_PORTS];
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

// Times of one clock as times of the other; 0 stays 0, and none becomes less than 1.
static inline uint64_t
state_time(uint64_t ns, int64_t offset_ns)
{
	if (!ns)
		return 0;
	if (offset_ns < 0)
		return ns > (uint64_t)-offset_ns ? ns - (uint64_t)-offset_ns : 1;
	return ns < UINT64_MAX - (uint64_t)offset_ns ? ns + (uint64_t)offset_ns : UINT64_MAX;
}

static inline uint64_t
state_saved_ns(const struct state_save *s, uint64_t ns)
{
	return state_time(ns, s->to_monotonic_ns);
}

static inline uint64_t
state_loaded_ns(const struct state_load *l, uint64_t ns)
{
	return state_time(ns, -l->to_monotonic_ns);
}

static inline struct worker *
state_owner(const struct state_load *l, const struct port *port)
{
	return l->dp->worker[port->path.owner];
}

// A payload that is one struct.
static inline bool
state_take_all(struct state_record *record, void *to, size_t len)
{
	return record->left == len && state_record_take(record, to, len);
}
