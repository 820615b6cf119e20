// A port as the control thread, its owner, knows it: its configuration, and the state of its life.
// Workers have the part that is `path`.
#pragma once

#include "path/port_path.h"
#include "port_life.h"
#include "registry.h"
#include "rtvs/dp_rules.h"

#define PORT_HANDOFF_SIZE 1024 // packets on their way from other workers

struct view_eswitch;

struct port {
	struct port_path path;
	const struct port_type *type;
	struct dp *dp;
	void *priv; // of the type
	struct dp_port_cfg cfg;
	struct port_place place;
	_Atomic bool has_lost_link; // its MACs are not forgotten yet. Any thread sets, ctl takes
	uint64_t forgot_ns; // when they were, 0: never
	struct underlay *underlay; // of a port with an address, NULL: none
	struct schedule *schedule; // of its egress, NULL: none; its owner has it by a view
	struct capture *capture; // workers have it by a view
	// Of what it sends, by enum dp_rules_of, NULL: none. Workers have them by a view.
	struct rules *rules[DP_RULES_N];
	struct view_eswitch *eswitch; // as rules; all its ports have the same
	struct trace *trace; // as capture, for the port's life; the workers write into it
	bool is_traced; // dp_trace_start
	enum port_life life;
	bool is_over; // removed, and not in the next view
	uint64_t drain_until_ns;
	struct port *next_removed;
};

// It has one from then on, which workers have with the next view. -ENOMEM
int port_make_schedule(struct port *port);
// Ports that are up and were not started, because the datapath was to take over. What fails is
// logged.
void port_start_all(struct dp *dp);
