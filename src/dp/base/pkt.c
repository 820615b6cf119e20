#include "pkt.h"

#include <rte_errno.h>

#include <string.h>

struct pkt_fields pkt_fields;

static int
register_flag(const char *name, uint64_t *ret_flag)
{
	struct rte_mbuf_dynflag flag = {.flags = 0};
	int bit;

	(void)rte_strscpy(flag.name, name, sizeof(flag.name));
	bit = rte_mbuf_dynflag_register(&flag);
	if (bit < 0)
		return -rte_errno;
	*ret_flag = RTE_BIT64(bit);
	return 0;
}

int
pkt_init(void)
{
	static const struct rte_mbuf_dynfield item = {
		.name = "rtvs_sched_item", .size = sizeof(struct sched_item), .align = _Alignof(struct sched_item)};
	static const struct rte_mbuf_dynfield tunnel = {
		.name = "rtvs_tunnel", .size = sizeof(struct pkt_tunnel), .align = _Alignof(struct pkt_tunnel)};
	struct pkt_fields *f = &pkt_fields;
	int rc;

	f->item = rte_mbuf_dynfield_register(&item);
	f->tunnel = rte_mbuf_dynfield_register(&tunnel);
	if (f->item < 0 || f->tunnel < 0)
		return -rte_errno;
	rc = register_flag("rtvs_tunnelled", &f->is_tunnelled);
	if (!rc)
		rc = register_flag("rtvs_asks", &f->asks);
	if (!rc)
		rc = register_flag("rtvs_followed", &f->is_followed);
	if (!rc)
		rc = register_flag("rtvs_answer", &f->is_answer);
	if (!rc)
		rc = register_flag("rtvs_borrowed", &f->is_borrowed);
	return rc;
}

void
pkt_inherit(struct rte_mbuf *to, struct rte_mbuf *from)
{
	to->port = from->port;
	to->ol_flags |= from->ol_flags & pkt_trace_flags();
	*pkt_trace_id(to) = *pkt_trace_id(from);
}

static struct rte_mbuf *
copy_of(struct rte_mempool *pool, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);

	if (copy)
		copy->ol_flags &= ~pkt_fields.is_borrowed;
	return copy;
}

struct rte_mbuf *
pkt_clone(struct rte_mempool *pool, struct rte_mbuf *m)
{
	return unlikely(pkt_is_borrowed(m)) ? copy_of(pool, m) : rte_pktmbuf_clone(m, pool);
}

struct rte_mbuf *
pkt_replace(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t headroom)
{
	struct rte_mbuf *copy = copy_of(pool, m);

	rte_pktmbuf_free(m);
	if (!copy || rte_pktmbuf_headroom(copy) >= headroom)
		return copy;
	rte_pktmbuf_free(copy);
	return NULL;
}

uint16_t
pkt_keep_burst(struct rte_mempool *pool, struct rte_mbuf **to, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t n_kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkt_keep(pool, pkts[i]);

		if (likely(m))
			to[n_kept++] = m;
	}
	return n_kept;
}

struct rte_mbuf *
pkt_push(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t n)
{
	m = pkt_room(pool, m, n);
	if (m)
		(void)rte_pktmbuf_prepend(m, n);
	return m;
}

struct rte_mbuf *
pkt_pad(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t n)
{
	void *tail;

	m = pkt_own(pool, m);
	tail = m ? rte_pktmbuf_append(m, n) : NULL;
	if (!tail) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	memset(tail, 0, n);
	return m;
}

struct rte_mbuf *
pkt_flatten(struct rte_mempool *pool, struct rte_mbuf *m)
{
	struct rte_mbuf *flat = m->pkt_len <= UINT16_MAX ? pkt_make(pool, (uint16_t)m->pkt_len) : NULL;

	if (flat) {
		void *to = rte_pktmbuf_mtod(flat, void *);
		const void *from = rte_pktmbuf_read(m, 0, m->pkt_len, to);

		if (from != to)
			memcpy(to, from, m->pkt_len);
		flat->ol_flags = m->ol_flags & (RTE_MBUF_F_TX_OFFLOAD_MASK | pkt_fields.asks);
		flat->tx_offload = m->tx_offload;
		pkt_inherit(flat, m);
	}
	rte_pktmbuf_free(m);
	return flat;
}

struct rte_mbuf *
pkt_make(struct rte_mempool *pool, uint16_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m && rte_pktmbuf_append(m, n))
		return m;
	rte_pktmbuf_free(m);
	return NULL;
}
