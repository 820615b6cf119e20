#include "mailbox.h"

#include "pkt.h"

#include <rte_errno.h>

#define BURST 32

int
mailbox_init(struct mailbox *box, const char *name, unsigned size)
{
	box->ring = rte_ring_create(name, size, SOCKET_ID_ANY, RING_F_SC_DEQ);
	return box->ring ? 0 : -rte_errno;
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
	rte_ring_free(box->ring);
	box->ring = NULL;
}
