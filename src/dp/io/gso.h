// Offloads in software, over mbufs.
#pragma once

#include "rtvs/drop.h"

#include <rte_mbuf.h>

struct fragment_plan;
struct frame_l2;

// Of a packet that asks (pkt_asks), once, as it comes in: compares what it asks for with the frame.
// The caller alone owns m. DROP_OFFLOAD: the frame does not permit it.
enum drop gso_take(struct rte_mbuf *m, const struct frame_l2 *l2);
// The rest is for packets that were taken, and ask.
// Segments of a TCP super-frame, each with as few buffers as it needs. Returns how many, 0: not
// possible (headers, more than max), -1: no buffer.
int gso_segment(struct rte_mempool *pool, const struct rte_mbuf *m, struct rte_mbuf **out, unsigned max);
// Completes the checksum. The caller alone owns m.
void gso_finish_checksum(struct rte_mbuf *m);
// m asks no more: it has flags for DPDK's drivers. These may write to its headers, which are the
// caller's alone. False: their flags cannot say that, and m is as before.
bool gso_describe(struct rte_mbuf *m);
// Fragments of an IPv4 packet that fragment_plan planned, each in one buffer. False: no buffer, or
// they do not fit one.
bool gso_fragment(
	struct rte_mempool *pool, const struct rte_mbuf *m, const struct fragment_plan *plan, struct rte_mbuf **out);
