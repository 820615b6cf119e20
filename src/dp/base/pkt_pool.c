#include "pkt_pool.h"

#include <rte_mbuf.h>

static void
leave_slack(struct rte_mempool *pool, void *arg, void *m, unsigned index)
{
	(void)pool;
	(void)arg;
	(void)index;
	((struct rte_mbuf *)m)->buf_len = RTE_MBUF_DEFAULT_BUF_SIZE;
}

// The last bytes of a buffer are hidden: librte_vhost 24.11 writes a checksum's second byte behind
// a buffer that ends between both, and the guest chooses the place.
struct rte_mempool *
pkt_pool_create(uint32_t n)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"rtvs_pkts", n, PKT_POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE + PKT_POOL_SLACK, SOCKET_ID_ANY);

	if (!pool)
		return NULL;
	((struct rte_pktmbuf_pool_private *)rte_mempool_get_priv(pool))->mbuf_data_room_size =
		RTE_MBUF_DEFAULT_BUF_SIZE;
	(void)rte_mempool_obj_iter(pool, leave_slack, NULL);
	return pool;
}
