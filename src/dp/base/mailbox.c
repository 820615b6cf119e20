#include "mailbox.h"

#include "pkt.h"
#include "sparse.h"

#include <errno.h>

#define BURST 32

int
mailbox_init(struct mailbox *box, unsigned size)
{
	// Not rte_ring_create: DPDK has 2,560 pieces of named memory, and a port has two mailboxes.
	box->ring = sparse_alloc((size_t)rte_ring_get_memsize(size));
	return box->ring ? rte_ring_init(box->ring, "mailbox", size, RING_F_SC_DEQ) : -ENOMEM;
}

void
mailbox_clear(struct mailbox *box)
{
	struct rte_mbuf *pkts[BURST];
	unsigned n;

	while (box->ring && (n = mailbox_take(box, pkts, BURST)))
		pkt_free_burst(pkts, n);
}

void
mailbox_fini(struct mailbox *box)
{
	mailbox_clear(box);
	if (box->ring)
		sparse_free(box->ring, (size_t)rte_ring_get_memsize(box->ring->size));
	box->ring = NULL;
}
