// Bridges: a name and a MAC table. The ports' configuration says which ports belong to one.
#pragma once

#include "path/bridge_path.h"
#include "registry.h"
#include "rtvs/dp.h"
#include "rtvs/mac_moves.h"

struct dp;
struct port;

struct bridge {
	struct bridge_path path;
	struct dp_bridge_cfg cfg;
	struct port_list ports; // that are on it
	uint32_t sweep_pos;
	struct mac_moves moves;
};

// Forgets what was learned of the port (static entries, too, with_static).
void bridge_forget_port(struct dp *dp, struct bridge *bridge, const struct port *port, bool with_static);
// The same, without static entries, if its link has gone since.
void bridge_forget_lost_link(struct dp *dp, struct port *port);
void bridge_housekeeping(struct dp *dp, unsigned id);
