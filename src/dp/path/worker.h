// One poll-mode thread per datapath CPU, and its own objects. Nothing here is shared for writing
// unless stated.
#pragma once

#include "base/counters.h"
#include "base/pkt.h"
#include "base/waker.h"
#include "env.h"
#include "port_path.h"
#include "rtvs/dp.h"
#include "rtvs/flow_cache.h"
#include "rtvs/poll_set.h"
#include "rtvs/rate.h"
#include "view.h"

#include <stdatomic.h>

#define WORKER_STAGE (2 * PORT_BURST) // packets of one port that leave together, at most

struct worker_tx {
	uint16_t n;
	struct rte_mbuf *pkts[WORKER_STAGE];
};

// A worker's own data of one port.
struct worker_port {
	struct port_counters c;
	struct rate punt, too_big;
	uint64_t blocked_since_ns; // what c.blocked_ns does not have yet; 0: it is read
	struct worker_tx tx;
} __rte_cache_aligned;

struct worker_loop_stats { // dp: wo, ctl: ro
	uint64_t turns, turns_with_work, sleeps;
	uint64_t cycles_busy, pkts, events_lost;
	uint64_t begin_tsc;
	uint64_t most_updated; // senders and ports that were brought up to a view in one turn
	struct hist stalls;
};

// Of the last stalls. // dp: wo, ctl: ro
struct worker_stall_log {
	_Atomic uint64_t n; // ever
	_Atomic uint64_t end_ns[DP_STALLS_KEPT], took_ns[DP_STALLS_KEPT];
};

// The work since the clock was last read.
struct worker_step {
	uint64_t tsc; // of that reading
	uint32_t n_pkts;
	uint64_t bytes;
};

// Buffers of one sender in the schedules of a worker: the difference.
struct worker_waiting {
	uint32_t n; // that came and did not leave
	_Atomic uint32_t n_gone; // that went with their schedule; ctl: wo, dp: ro
};

// Schedules get a new view's parameters one after another.
struct worker_update {
	uint64_t gen; // of the view
	uint32_t at, place; // which of the worker's ports is next, and which of its senders
	uint32_t n_left; // ports
};

struct rule;

struct worker {
	struct env *env;
	uint16_t index, cpu;
	unsigned lcore;
	uint64_t now_ns; // when the clock was last read, monotonic
	struct worker_step step;
	uint32_t now_s;
	uint64_t view_gen; // of the view whose parameters all its schedules have
	struct worker_update update;
	// What rules said of frames, and of the last one.
	struct flow_cache flows;
	struct flow_digest last_digest;
	struct rule *last_rule;
	uint64_t last_gen;
	uint32_t max_waiting; // buffers of one sender in all its schedules
	struct worker_waiting *waiting; // DP_MAX_PORTS, by sender
	uint16_t n_dirty; // ports with staged packets
	uint16_t dirty[DP_MAX_PORTS];
	uint16_t n_uplinks; // of eswitches, with staged packets
	uint16_t uplink[DP_MAX_PORTS];
	struct rte_mempool *pool;
	struct worker_port *port; // DP_MAX_PORTS
	struct guest_turn *guests;
	struct worker_loop_stats stats;
	struct worker_stall_log stall_log;

	// Idle policy.
	struct poll_set polls; // of the queues that are its own
	uint64_t round_gen, wakeup_gen; // of the view and the descriptors that polls is of
	struct waker waker; // wakes it when there is work
	int epoll_fd;
	bool has_polled_queues; // some queue gives no wake-up
	uint64_t awake_until_ns; // it waits to see a followed packet consumed, 0: it does not
	uint8_t n_looks; // sleeps that stay short, because something woke it that was not seen
	bool is_holding; // in this turn a port was not polled though it may have packets

	// Reading counters: ctl asks by moving snap_wanted, the worker copies between two turns.
	_Atomic uint32_t snap_wanted; // ctl: wo
	_Atomic uint32_t snap_done; // dp: wo
	struct port_counters *snap; // DP_MAX_PORTS
	_Atomic int tid; // its thread's, dp: wo, ctl: ro; 0: not yet known
} __rte_cache_aligned;

int worker_create(struct env *env, uint16_t index, uint16_t cpu, unsigned lcore, struct worker **ret_worker);
void worker_destroy(struct worker *w);
int worker_main(void *worker); // rte_eal_remote_launch
// What worker_main does again and again; how many packets.
unsigned worker_turn(struct worker *w, const struct view *view);
// Between two turns: copies the counters for the control thread. Also the control thread, of a
// worker that is halted.
void worker_snapshot(struct worker *w, const struct view *view);
