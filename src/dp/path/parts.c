#include "parts.h"

#include "base/pkt.h"
#include "io/gso.h"
#include "port_path.h"
#include "rtvs/fragment.h"

#include <rte_ip.h>

#include <errno.h>

// librte_vhost and drivers make the checksum's pseudo header of the next header of IPv6 itself,
// even an extension's.
bool
parts_takes_super_frame(const struct rte_mbuf *m, uint32_t caps)
{
	if (!(m->ol_flags & RTE_MBUF_F_TX_IPV6))
		return caps & PORT_CAP_TSO4;
	return (caps & PORT_CAP_TSO6) && m->l3_len == sizeof(struct rte_ipv6_hdr);
}

// *m with the checksum that was left to others.
static enum drop
finish_checksum(struct rte_mempool *pool, struct rte_mbuf **m)
{
	*m = pkt_own(pool, *m);
	if (!*m)
		return DROP_NO_BUFFER;
	return gso_finish_checksum(*m) ? DROP_NONE : DROP_OFFLOAD;
}

// part was made of *m, which goes.
static void
replace(struct rte_mbuf **m, struct rte_mbuf **part, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		part[i]->port = (*m)->port;
	pkt_inherit(part[0], *m);
	pkt_free(*m);
	*m = NULL;
}

enum drop
parts_make(
	struct rte_mempool *pool, struct rte_mbuf **m, uint32_t caps, struct rte_mbuf *part[PARTS_MAX], unsigned *ret_n)
{
	bool needs_gso = ((*m)->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && !parts_takes_super_frame(*m, caps);
	enum drop drop = DROP_NONE;

	if (needs_gso) {
		int n = gso_segment(pool, *m, part, PARTS_MAX);

		if (n <= 0)
			return n ? DROP_NO_BUFFER : DROP_OFFLOAD;
		replace(m, part, (unsigned)n);
		*ret_n = (unsigned)n;
		return DROP_NONE;
	}
	if (((*m)->ol_flags & PARTS_OFFLOADS) && !(caps & PORT_CAP_CSUM))
		drop = finish_checksum(pool, m);
	if (drop == DROP_NONE && (*m)->nb_segs > 1 && !(caps & PORT_CAP_SEGS)) {
		*m = pkt_flatten(pool, *m);
		drop = *m ? DROP_NONE : DROP_OFFLOAD;
	}
	if (drop != DROP_NONE)
		return drop;
	part[0] = *m;
	*m = NULL;
	*ret_n = 1;
	return DROP_NONE;
}

enum drop
parts_fit(
	struct rte_mempool *pool, struct rte_mbuf **m, uint32_t mtu, struct rte_mbuf *part[PARTS_MAX], unsigned *ret_n)
{
	uint32_t tcp_headers = (uint32_t)((*m)->l3_len + (*m)->l4_len);
	enum drop drop = DROP_NONE;
	struct fragment_plan plan;
	int rc = fragment_plan(rte_pktmbuf_mtod(*m, const uint8_t *), (*m)->data_len, (*m)->pkt_len, mtu, &plan);

	if (rc == -EMSGSIZE)
		return DROP_MTU;
	if (((*m)->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && mtu > tcp_headers) {
		(*m)->tso_segsz = (uint16_t)(mtu - tcp_headers);
		return parts_make(pool, m, 0, part, ret_n);
	}
	if (rc)
		return DROP_UNFRAGMENTABLE;
	if ((*m)->ol_flags & PARTS_OFFLOADS)
		drop = finish_checksum(pool, m);
	if (drop == DROP_NONE && !gso_fragment(pool, *m, &plan, part))
		drop = DROP_NO_BUFFER;
	if (drop != DROP_NONE)
		return drop;
	replace(m, part, plan.n);
	*ret_n = plan.n;
	return DROP_NONE;
}
