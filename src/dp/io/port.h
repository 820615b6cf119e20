// A port as the datapath knows it: how packets get in and out is behind port_io, so that another ring path
// needs no change outside its file. Ports are owned by the control thread; workers reach them through a view.
#pragma once

#include "base/mailbox.h"
#include "rtvs/chain.h"
#include "rtvs/dp.h"

#include <rte_mbuf.h>

#include <stdatomic.h>

#define PORT_BURST 32 // packets taken or given at once
#define PORT_HANDOFF_SIZE 1024 // packets on their way from other workers

struct dp;
struct port;
struct port_type;

// Packets of a burst that a port will never take, as bits, and why each.
struct port_refused {
	uint32_t set;
	enum drop why[PORT_BURST];
};

// How packets get in and out of a device: the functions of workers.
struct port_io {
	// The worker that polls queue q.
	uint16_t (*rx)(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n);
	// The worker that owns the port. Returns how many packets, from the front, the port is done with: it took them, but for those that
	// it adds to *refused. Refused packets and the rest stay the caller's; the rest can be taken later: the port is full.
	uint16_t (*tx)(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused);
	// Before and after a worker sleeps: asks for (or forbids) a wake-up when queue q gets work. Returns a descriptor
	// to wait for, edge-triggered, or -1: the queue must be polled; -2: something else wakes the worker.
	int (*arm)(struct port *port, uint16_t q, bool is_on);
	// Guests only, else NULL. The worker that owns the port: how far the guest is with queue q, false: it cannot be told; and a
	// kick that nothing was put for.
	bool (*look)(struct port *port, uint16_t q, struct chain_ring *ret_ring);
	void (*kick)(struct port *port, uint16_t q);
};

// What the port's far side takes as it is; the rest is done in software before. // dp: ro, set by the type
enum port_cap {
	PORT_CAP_CSUM = 1,
	PORT_CAP_TSO4 = 2,
	PORT_CAP_TSO6 = 4,
	PORT_CAP_SEGS = 8, // chained buffers
};

struct port {
	uint16_t id;
	uint16_t owner; // worker that transmits on it
	uint64_t
		serial; // of all ports of this process, from 1: tells ports apart that have the same id one after another
	const struct port_type *type;
	const struct port_io *io; // NULL: it has no device of its own, as a tunnel
	struct dp *dp;
	struct rte_mempool *pool; // of the buffers that it receives into
	struct dp_port_cfg cfg; // ctl: rw, dp: none
	_Atomic bool is_up; // vhost thread, ctl: wo; dp: ro. Packets may be given to it
	_Atomic uint32_t caps; // enum port_cap. As is_up
	_Atomic uint32_t n_txq; // queues that take packets, 1 at least. As is_up
	// Learned entries that name this port; dp, ctl: rw. Below 0 for a moment: an entry may go before who made it has counted it.
	_Atomic int32_t n_macs;
	_Atomic bool has_lost_link; // and its MACs are not forgotten yet. Who knows of the link: wo, ctl: takes it
	uint64_t forgot_ns; // when they were, 0: never; ctl
	_Atomic uint64_t guest_errors; // vhost thread, ctl: rw
	struct underlay *underlay; // of a port with an address, NULL: none; ctl
	struct mailbox inject; // what the control thread sends through it, if it does; the owner takes
	struct mailbox handoff; // from workers that do not own it; the owner takes
	_Atomic uint64_t
		held; // until when it is not polled, ns, and by which egress port: see backpressure.h. 0: it is
	uint64_t answer_deadline_ns; // what feedback made of it, 0: nothing; ctl
	uint8_t answer_dscp, answer_excess; // DSCP_KEEP: nothing; ctl. excess: beyond min_rate
	struct schedule *schedule; // of its egress, NULL: none; ctl: wo through a new view, the owner: rw
	struct capture *capture; // ctl: wo through a new view, dp: ro
	struct trace *trace; // as capture, for the port's life; the workers write into it
	bool is_traced; // dp_trace_start; ctl
	void *priv; // of the type
	// Limits of what it sends, whichever workers poll it (rtvs/rate.h): max_rate, flood_rate, the guaranteed rate for raised DSCPs.
	struct {
		uint64_t max_rate, flood, raised;
	} paid __rte_cache_aligned; // dp: rw, atomic; ctl: wo
};

static inline void
port_refuse(struct port_refused *refused, uint16_t i, enum drop why)
{
	refused->set |= UINT32_C(1) << i;
	refused->why[i] = why;
}
