// Packets, which are mbufs: their metadata, the right to write their bytes, room for headers,
// copies. No other code copies or frees a buffer, except devices and the code that cuts packets
// (gso.c). A packet belongs to its last receiver. Any thread may use these functions, each with
// packets of its own.
//
// A packet may be borrowed: its first buffer, which has all headers, is its own, but the rest of
// its bytes is in the memory of the guest that sent it, which may change it at any time and gets it
// back when the worker's turn ends. Such a packet is for the next device alone. Whoever keeps it
// for longer, shares it, passes it to another thread, or reads bytes behind the headers makes it a
// packet like others before (pkt_keep).
#pragma once

#include "counters.h"
#include "rtvs/offload.h"
#include "rtvs/sched.h"
#include "tsan.h"

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include <string.h>

// Which tunnel made a packet of the underlay; see encap.c.
struct pkt_tunnel {
	uint16_t port;
	uint16_t serial; // of the port, the low bits: another port may have its number by then
};

// Where the fields and flags of the datapath are in each mbuf. Written once, by pkt_init.
struct pkt_fields {
	int item, tunnel; // offsets
	uint64_t is_tunnelled; // flags
	uint64_t asks; // its sender left work to others: pkt_offload
	uint64_t is_followed, is_answer; // with a number of trace.c, in either case
	uint64_t is_borrowed;
};
extern struct pkt_fields pkt_fields;

int pkt_init(void); // once a process, before packets: -errno

static inline struct sched_item *
pkt_item(struct rte_mbuf *m)
{
	return RTE_MBUF_DYNFIELD(m, pkt_fields.item, struct sched_item *);
}

static inline struct rte_mbuf *
pkt_of_item(struct sched_item *item)
{
	return (struct rte_mbuf *)((char *)item - pkt_fields.item);
}

static inline struct pkt_tunnel *
pkt_tunnel(struct rte_mbuf *m)
{
	return RTE_MBUF_DYNFIELD(m, pkt_fields.tunnel, struct pkt_tunnel *);
}

static inline bool
pkt_asks(const struct rte_mbuf *m)
{
	return m->ol_flags & pkt_fields.asks;
}

// Of a packet that asks. In the buffer's field for what devices shall do, which has their form of
// it only just before it leaves (gso_describe).
static inline struct offload
pkt_offload(const struct rte_mbuf *m)
{
	struct offload offload;

	memcpy(&offload, &m->tx_offload, sizeof(offload));
	return offload;
}

static inline void
pkt_set_offload(struct rte_mbuf *m, struct offload offload)
{
	static_assert(sizeof(offload) == sizeof(m->tx_offload), "in its place");
	memcpy(&m->tx_offload, &offload, sizeof(offload));
	m->ol_flags |= pkt_fields.asks;
}

static inline bool
pkt_is_super_frame(const struct rte_mbuf *m)
{
	return pkt_asks(m) && pkt_offload(m).kind != OFFLOAD_CHECKSUM;
}

static inline uint64_t
pkt_trace_flags(void)
{
	return pkt_fields.is_followed | pkt_fields.is_answer;
}

// Of a packet with one of these flags. In the buffer's field for such; the room for further fields
// is small, and drivers need theirs.
static inline uint32_t *
pkt_trace_id(struct rte_mbuf *m)
{
	return &m->hash.usr;
}

// The queue of its egress port's device that it goes to, since it was steered (path/transmit.h). In
// the buffer's field for such, which overlaps no other that is used.
static inline uint16_t *
pkt_txq(struct rte_mbuf *m)
{
	return &m->hash.txadapter.txq;
}

static inline void
pkt_free(struct rte_mbuf *m) // NULL is accepted
{
	rte_pktmbuf_free(m);
}

static inline void
pkt_free_burst(struct rte_mbuf **pkts, unsigned n)
{
#ifdef RTVS_TSAN // it does not see the counts of references that DPDK's library changes
	while (n)
		pkt_free(pkts[--n]);
#else
	rte_pktmbuf_free_bulk(pkts, n);
#endif
}

// `to` was made of `from` and stands for it: it has the same sender, and is followed in its place.
void pkt_inherit(struct rte_mbuf *to, struct rte_mbuf *from);

// A copy of m, which is freed, with headroom for n bytes. NULL: there is no buffer.
struct rte_mbuf *pkt_replace(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t n);

static inline bool
pkt_is_borrowed(const struct rte_mbuf *m)
{
	return m->ol_flags & pkt_fields.is_borrowed;
}

// m itself, or a copy of a borrowed m that is none. NULL: there is no buffer, and m is freed.
static inline struct rte_mbuf *
pkt_keep(struct rte_mempool *pool, struct rte_mbuf *m)
{
	return likely(!pkt_is_borrowed(m)) ? m : pkt_replace(pool, m, 0);
}

// pkt_keep of n packets; how many there are then, in their order, in `to`, which may be pkts.
uint16_t pkt_keep_burst(struct rte_mempool *pool, struct rte_mbuf **to, struct rte_mbuf **pkts, uint16_t n);

static inline bool
pkt_has_own_head(const struct rte_mbuf *m)
{
	return RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1;
}

static inline bool
pkt_is_own(const struct rte_mbuf *m)
{
	return pkt_has_own_head(m) && !pkt_is_borrowed(m);
}

// m itself when its bytes are not shared, or else a copy of it. NULL: there is no buffer, and m is
// freed.
static inline struct rte_mbuf *
pkt_own(struct rte_mempool *pool, struct rte_mbuf *m)
{
	return pkt_is_own(m) ? m : pkt_replace(pool, m, 0);
}

// As pkt_own, of the first buffer, where headers are, with headroom for n bytes.
static inline struct rte_mbuf *
pkt_room(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t n)
{
	return likely(pkt_has_own_head(m) && rte_pktmbuf_headroom(m) >= n) ? m : pkt_replace(pool, m, n);
}

// As pkt_room, with n bytes more before the first one, which are the caller's to write.
struct rte_mbuf *pkt_push(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t n);
// As pkt_own, with n zeroes behind the last byte.
struct rte_mbuf *pkt_pad(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t n);
// As pkt_own, in one buffer. NULL: there is none, or m is longer.
struct rte_mbuf *pkt_flatten(struct rte_mempool *pool, struct rte_mbuf *m);
// A further packet with the same bytes, which both share from here on, or has a copy of them if m
// is borrowed. NULL: there is no buffer.
struct rte_mbuf *pkt_clone(struct rte_mempool *pool, struct rte_mbuf *m);

// A new packet of n bytes, which the caller writes. NULL: there is no buffer, or it is shorter.
struct rte_mbuf *pkt_make(struct rte_mempool *pool, uint16_t n);

static inline void
pkt_drop(struct port_counters *counters, struct rte_mbuf *m, enum drop reason)
{
	counters_add(&counters->drops[reason], 1);
	rte_pktmbuf_free(m);
}
