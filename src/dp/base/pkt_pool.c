#include "pkt_pool.h"

#include <rte_mbuf.h>

struct rte_mempool *
pkt_pool_create(uint32_t n)
{
	return rte_pktmbuf_pool_create("rtvs_pkts", n, PKT_POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
}
