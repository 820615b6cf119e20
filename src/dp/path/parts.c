#include "parts.h"

#include "base/pkt.h"
#include "io/gso.h"
#include "port_path.h"
#include "rtvs/fragment.h"
#include "rtvs/offload.h"

#include <errno.h>

// What m asks for is left to the far side. Drivers of a device that is no guest want to be told in
// their own way, and may write.
static bool
is_left(struct rte_mempool *pool, struct rte_mbuf **m, uint32_t caps)
{
	static const uint32_t needs[] = {
		[OFFLOAD_CHECKSUM] = PORT_CAP_CSUM, [OFFLOAD_TCP4] = PORT_CAP_TSO4, [OFFLOAD_TCP6] = PORT_CAP_TSO6};

	if (!(caps & needs[pkt_offload(*m).kind]))
		return false;
	if (caps & PORT_CAP_ANYWHERE)
		return true;
	*m = pkt_own(pool, *m);
	return *m && gso_describe(*m);
}

static enum drop
finish_checksum(struct rte_mempool *pool, struct rte_mbuf **m)
{
	*m = pkt_own(pool, *m);
	if (!*m)
		return DROP_NO_BUFFER;
	gso_finish_checksum(*m);
	return DROP_NONE;
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

static enum drop
make_segments(struct rte_mempool *pool, struct rte_mbuf **m, struct rte_mbuf *part[PARTS_MAX], unsigned *ret_n)
{
	int n = gso_segment(pool, *m, part, PARTS_MAX);

	if (n <= 0)
		return n ? DROP_NO_BUFFER : DROP_OFFLOAD;
	replace(m, part, (unsigned)n);
	*ret_n = (unsigned)n;
	return DROP_NONE;
}

enum drop
parts_make(
	struct rte_mempool *pool, struct rte_mbuf **m, uint32_t caps, struct rte_mbuf *part[PARTS_MAX], unsigned *ret_n)
{
	enum drop drop = DROP_NONE;

	if (pkt_asks(*m) && !is_left(pool, m, caps)) {
		if (!*m)
			return DROP_NO_BUFFER;
		if (pkt_is_super_frame(*m))
			return make_segments(pool, m, part, ret_n);
		drop = finish_checksum(pool, m);
	}
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
	const uint8_t *head = rte_pktmbuf_mtod(*m, const uint8_t *);
	struct offload o = pkt_offload(*m);
	enum drop drop = DROP_NONE;
	struct fragment_plan plan;
	int rc = fragment_plan(head, (*m)->data_len, (*m)->pkt_len, mtu, &plan);

	if (rc == -EMSGSIZE)
		return DROP_MTU;
	if (pkt_is_super_frame(*m)) {
		uint32_t headers = o.csum_start + o.l4_len - frame_skip_tags(head, (*m)->data_len, &(uint16_t){0});

		if (mtu > headers) {
			o.gso_size = (uint16_t)(mtu - headers);
			pkt_set_offload(*m, o);
			return make_segments(pool, m, part, ret_n);
		}
	}
	if (rc)
		return DROP_UNFRAGMENTABLE;
	if (pkt_asks(*m))
		drop = finish_checksum(pool, m);
	if (drop == DROP_NONE && !gso_fragment(pool, *m, &plan, part))
		drop = DROP_NO_BUFFER;
	if (drop != DROP_NONE)
		return drop;
	replace(m, part, plan.n);
	*ret_n = plan.n;
	return DROP_NONE;
}
