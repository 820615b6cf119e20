// The part of the datapath that workers have. One a process, made before the first worker.
#pragma once

#include "base/clock.h"
#include "base/event_queue.h"
#include "base/mailbox.h"
#include "base/rcu.h"
#include "base/waker.h"
#include "port_path.h"
#include "rtvs/dp.h"

struct view;

struct env {
	struct rte_mempool *pool;
	struct clock clock;
	struct rcu rcu;
	_Atomic(struct view *) view; // ctl: wo, dp: ro
	_Atomic bool stop; // ctl: wo, dp: ro
	_Atomic uint32_t idle; // enum dp_idle. As stop
	_Atomic uint64_t idle_ns; // as stop
	// moves whenever any port's wake-up descriptors change. Any thread
	_Atomic uint64_t wakeup_gen;
	struct event_queue events;
	struct mailbox punt; // packets for the daemon itself; ctl takes
	struct rte_ring *reports; // of struct dp_report; many producers, ctl consumes
	unsigned n_workers;
	struct waker *waker[DP_MAX_WORKERS]; // of each
	// of each: the ids of its ports that have something in a mailbox
	struct mailbox_set due[DP_MAX_WORKERS];
	uint32_t n_mbufs; // in pool
	uint16_t option_class; // of the tunnels' own option
};

_Static_assert(DP_MAX_PORTS <= MAILBOX_SET_MAX, "a set has all ids");

// Any thread, after it has put something into a mailbox of the port: its owner looks there in its
// next turn.
static inline void
env_call_owner(struct env *env, const struct port_path *port)
{
	mailbox_set_mark(&env->due[port->owner], port->id);
	waker_wake(env->waker[port->owner]);
}
