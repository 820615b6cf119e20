// Ports and bridges by name, the ports that refer to a port by its name, and the ports that workers
// have yet to hear of. A name may be referred to before there is a port that has it.
// Control thread. A change of one port finds the ports that it concerns without looking at others.
#pragma once

#include "rtvs/dp.h"

#include <stdint.h>
#include <sys/queue.h>

struct bridge;
struct dp;
struct port;

#define REGISTRY_BUCKETS 1024

LIST_HEAD(port_list, port);
LIST_HEAD(name_list, port_name);

// It exists while a port has it or refers to it.
struct port_name {
	LIST_ENTRY(port_name) in_bucket;
	unsigned n_uses;
	struct port *port; // NULL: no port has it
	struct port_list mirrors, tunnels; // ports that mirror to it; ports whose uplink it is
	char text[RTVS_NAME_SIZE];
};

// How a port stands in the registry.
struct port_place {
	struct port_name *name;
	struct port_name *mirror_to, *uplink; // NULL: it refers to none
	struct bridge *bridge; // NULL: it is on none
	LIST_ENTRY(port) mirrors, tunnels, of_bridge; // its place in a list of each of these
};

// A set of ids.
struct port_set {
	uint64_t bits[DP_MAX_PORTS / 64];
};

static inline void
port_set_add(struct port_set *set, uint16_t id)
{
	set->bits[id / 64] |= UINT64_C(1) << id % 64;
}

static inline bool
port_set_has(const struct port_set *set, uint16_t id)
{
	return set->bits[id / 64] >> id % 64 & 1;
}

// NULL: there is none.
struct port *registry_port(const struct dp *dp, const char *name);
struct bridge *registry_bridge(const struct dp *dp, const char *name);
struct port *registry_mirror_to(const struct port *port);
struct port *registry_uplink(const struct port *port);

// add: the port is there, as dp->port[its id] and by its name. set: its configuration has changed.
// -ENOMEM: nothing has changed. hide: it is there no longer, until show; del follows hide.
// All of them touch what they concern.
int registry_add(struct port *port);
int registry_set(struct port *port);
void registry_hide(struct port *port);
void registry_show(struct port *port);
void registry_del(struct port *port);

// What workers know of the port is no longer so: the next view (views.h) has it anew.
void registry_touch(struct port *port);
void registry_touch_tunnels(struct port *uplink);
