// The datapath as a whole, shared by the files of this directory.
#pragma once

#include "base/clock.h"
#include "base/dp_error.h"
#include "base/event_queue.h"
#include "base/rcu.h"
#include "port.h"
#include "rtvs/dp.h"
#include "view.h"
#include "worker.h"

#include <rte_ring.h>

struct dp {
	struct dp_system_cfg cfg;
	struct dscp_table dscp; // cfg.dscp_classes, read; ctl
	_Atomic uint32_t idle; // enum dp_idle; ctl: wo, dp: ro
	_Atomic uint64_t idle_ns;
	_Atomic bool stop;
	struct clock clock;
	struct mailbox punt; // packets for the daemon itself; ctl takes
	struct rte_ring *reports; // of struct dp_report; many producers, ctl consumes
	unsigned n_delays; // flows measured; ctl
	struct rte_mempool *pool;
	struct rcu rcu;
	_Atomic(struct view *) view; // ctl: wo, dp: ro
	uint64_t view_gen; // of the last one; ctl
	_Atomic uint64_t wakeup_gen; // moves whenever any port's wake-up descriptors change
	unsigned n_workers;
	enum dp_priority priority; // that the workers got
	struct priority *windows; // what holds it for them; NULL: nothing has to
	struct worker *worker[DP_MAX_WORKERS];
	struct port *port[DP_MAX_PORTS];
	uint64_t n_ports_made;
	struct bridge *bridge[DP_MAX_BRIDGES];
	struct dp_port_stats gone;
	struct event_queue events;
	int ctl_epoll_fd; // what ctl waits for
	struct connector *connector;
	struct netdev_watch *netdevs;
	_Atomic uint64_t log_errors, bus_errors;
};
