// Following packets to guests and back (rtvs/chain.h), and waking guests ahead of packets that wait
// for them. Only for ports that have a trace: asked for with dp_trace_start, or made for the port's
// prewake.
#pragma once

#include "port_path.h"
#include "rtvs/chain.h"

#include <rte_mbuf.h>

struct view;
struct worker;

struct trace {
	struct chain chain;
	_Atomic uint64_t prewoken_ns; // since the last burst was put, 0: not. Other workers too
	uint64_t since_ns; // dp_trace_start: what was queued before is not told; ctl
	uint64_t lost_before; // ctl
	uint16_t queue; // that the followed packet was put into; owner
};

// The followed packets of a burst, looked up before it is passed to a port and recorded after.
struct trace_burst {
	struct trace *guest; // whose packet is in it, NULL: none
	struct chain_ring before;
	bool is_known; // before
	uint16_t at; // index of that packet
	uint64_t put_ns;
	unsigned n_answers;
	struct {
		struct trace *guest;
		uint32_t id;
		uint16_t at;
	} answer[4];
};

// Workers, in this order. Packets that reached the guest's egress; that are passed to queue q,
// before and after (sent: the set of those that it took); that came from it.
void trace_queued(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n);
void trace_before(struct worker *w, const struct view *view, uint16_t out, uint16_t q, struct rte_mbuf **pkts,
	uint16_t n, struct trace_burst *ret_burst);
void trace_after(struct worker *w, const struct view *view, uint16_t out, uint16_t q, uint32_t sent,
	const struct trace_burst *burst);
void trace_received(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n);
// Each turn: what guests have consumed.
void trace_poll(struct worker *w, const struct view *view);

// A packet for the port will leave at next_ns and not before. Kicks the guest if it sleeps and that
// time is half of its wake-up time away, or less.
void trace_prewake(struct worker *w, const struct view *view, uint16_t out, uint64_t next_ns);
// When that is, next_ns: it was done.
uint64_t trace_prewake_ns(const struct view *view, uint16_t out, uint64_t next_ns);
