// Packets on their way from any thread to the one that takes them: from other workers, from the control thread, or to it.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

struct mailbox {
	struct rte_ring *ring; // NULL: there is no mailbox
};

int mailbox_init(struct mailbox *box, const char *name, unsigned size); // size: a power of two, one less fit. -errno
void mailbox_clear(struct mailbox *box); // nobody uses it any more: what is in it is freed
void mailbox_fini(struct mailbox *box); // as mailbox_clear, and the mailbox is gone. One that is none is accepted

static inline bool
mailbox_is(const struct mailbox *box)
{
	return box->ring;
}

// Any thread. False: it is full, and m stays the caller's.
static inline bool
mailbox_put(const struct mailbox *box, struct rte_mbuf *m)
{
	return !rte_ring_mp_enqueue(box->ring, m);
}

// Its thread: up to n packets, in the order in which they were put.
static inline unsigned
mailbox_take(struct mailbox *box, struct rte_mbuf **pkts, unsigned n)
{
	return rte_ring_sc_dequeue_burst(box->ring, (void **)pkts, n, NULL);
}
