// The datapath as a whole, shared by the files of this directory.
#pragma once

#include "base/dp_error.h"
#include "path/env.h"
#include "path/view.h"
#include "path/worker.h"
#include "port.h"
#include "registry.h"
#include "rtvs/dp.h"
#include "views.h"

struct dp {
	struct dp_system_cfg cfg;
	struct env env;
	struct dscp_table dscp; // cfg.dscp_classes, read; ctl
	unsigned n_delays; // flows measured; ctl
	enum dp_priority priority; // that the workers got
	struct priority *windows; // what holds it for them; NULL: nothing has to
	struct worker *worker[DP_MAX_WORKERS];
	bool is_running; // workers make turns
	bool is_raised; // priority is set
	struct port *port[DP_MAX_PORTS];
	struct port *removed; // not gone yet: packets wait for them
	bool is_ending; // ports are closed for the daemon's end, not for their own
	int drain_fd; // when to look at them again
	struct name_list names[REGISTRY_BUCKETS];
	struct port_set stale; // ids whose entries in the view are not as they should be
	struct views_cost views_cost;
	uint64_t n_ports_made, n_rules_made; // snapshots of rules; the number is rules.gen
	struct bridge *bridge[DP_MAX_BRIDGES];
	struct dp_port_stats gone;
	struct wanted_ids *wanted_ids; // NULL: none
	struct kept *kept; // what ports left behind that are gone
	int ctl_epoll_fd; // what ctl waits for
	struct guest_loop *guests; // serves all front-ends
	struct ring_states *ring_states; // NULL: they are not kept
	struct link_store *link_store; // NULL: connections end with the process
	uint64_t n_hands; // hand-overs that were begun
	uint32_t hands; // enum dp_hands: what the last of them sends; ctl
	struct given_fd *given_fds; // descriptors that no port has; NULL: none
	_Atomic bool is_taking_over; // all guests wait: connections go on without a word. ctl: wo
	struct connector *connector;
	struct netdev_watch *netdevs;
	_Atomic uint64_t log_errors, bus_errors;
};
