// One poll-mode thread per datapath CPU, and what it owns. Nothing here is shared for writing but where it says so.
#pragma once

#include "base/counters.h"
#include "base/pkt.h"
#include "base/waker.h"
#include "port.h"
#include "rtvs/dp.h"
#include "rtvs/rate.h"
#include "view.h"

#include <stdatomic.h>

struct worker_tx {
	uint16_t n;
	struct rte_mbuf *pkts[PORT_BURST * 2];
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
	struct hist stalls;
};

// Of the last stalls. // dp: wo, ctl: ro
struct worker_stall_log {
	_Atomic uint64_t n; // ever
	_Atomic uint64_t end_ns[DP_STALLS_KEPT], took_ns[DP_STALLS_KEPT];
};

// What was done since the clock was last read.
struct worker_step {
	uint64_t tsc; // of that reading
	uint32_t n_pkts;
	uint64_t bytes;
};

struct worker {
	struct dp *dp;
	uint16_t index, cpu;
	unsigned lcore;
	uint64_t now_ns; // when the clock was last read, monotonic
	struct worker_step step;
	uint32_t now_s;
	uint64_t view_gen; // of the view whose parameters its schedules have
	uint32_t max_waiting; // buffers of one sender in all its schedules
	uint32_t n_waiting[DP_MAX_PORTS]; // of each
	uint16_t n_dirty; // ports with staged packets
	uint16_t dirty[DP_MAX_PORTS];
	struct rte_mempool *pool;
	struct worker_port *port; // DP_MAX_PORTS
	struct worker_loop_stats stats;
	struct worker_stall_log stall_log;

	// Idle policy.
	struct waker waker; // somebody has work for it
	int epoll_fd;
	uint64_t epoll_gen; // of the descriptors in it
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

// Received, forwarded or sent.
static inline void
worker_work(struct worker *w, unsigned n_pkts, uint64_t bytes)
{
	w->step.n_pkts += n_pkts;
	w->step.bytes += bytes;
}

// Reads the clock, between bursts: now_ns, and whether the core was away since.
void worker_tick(struct worker *w);
// The core was away for took_ns, until now.
void worker_stalled(struct worker *w, uint64_t took_ns, uint64_t now_ns);
int worker_create(struct dp *dp, uint16_t index, uint16_t cpu, unsigned lcore, struct worker **ret_worker);
void worker_destroy(struct worker *w);
int worker_main(void *worker); // rte_eal_remote_launch

// idle.c: sleeps until there may be work, or for a while. True: there was some, or something woke it.
bool idle_sleep(struct worker *w, const struct view *view, bool (*poll)(struct worker *, const struct view *));

// switch.c: forwards a burst that came from port `in`; what it does not deliver it drops, with a reason.
void switch_burst(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n);

// egress.c
struct egress_pkt {
	struct rte_mbuf *m;
	uint16_t vlan;
	bool is_tagged; // with a tag of `vlan`, or a priority tag:
	bool is_priority; // VLAN 0 and a priority (IEEE 802.1Q, 6.9.1: the frame is untagged)
};
// Gives m (owned from here on) to port `out`: VLAN, MTU, offloads, then the stage or the owner's ring.
void egress_put(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt pkt);
// Transmits what is staged.
void egress_flush(struct worker *w, const struct view *view);
// Takes what other workers put into the rings of ports that this one owns; how many.
unsigned egress_drain(struct worker *w, const struct view *view);
// Gives packets to port `out`, in order, until it takes no more; how many it took, or refused, which are dropped.
uint16_t egress_give(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n);
// The DSCP for a packet of a port, at ports that write it, or DSCP_KEEP. bytes: what it takes of the raised rate.
uint8_t egress_dscp(struct worker *w, const struct view *view, uint16_t from, uint32_t bytes);

// gso.c: segments of a TCP super-frame, each in one buffer. Returns how many, 0: not possible (headers), -1: no buffer.
int gso_segment(struct rte_mempool *pool, const struct rte_mbuf *m, struct rte_mbuf **out, unsigned max);
struct frame_l2;
#define GSO_ASKED \
	(RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_MASK) // a guest asks for a checksum, or segments; see port_vhost.c
// What the guest asked for, as librte_vhost's flags (RX) say it, becomes what is asked of the receiver (TX), or is done. m is nobody else's.
// DROP_OFFLOAD: it cannot be done.
enum drop gso_take(struct rte_mbuf *m, const struct frame_l2 *l2);
// Fragments of an IPv4 packet that fragment_plan planned, each in one buffer. False: no buffer, or they do not fit one.
struct fragment_plan;
bool gso_fragment(
	struct rte_mempool *pool, const struct rte_mbuf *m, const struct fragment_plan *plan, struct rte_mbuf **out);
// Completes the checksum that m's offload flags ask for. False: headers do not allow it.
bool gso_finish_checksum(struct rte_mbuf *m);
