#include "eal_fixture.h"

#include <rte_eal.h>

struct rte_mempool *pool;

int
start_eal(unsigned n_mbufs)
{
	char *args[] = {"test", "--no-huge", "--no-pci", "-m", "64", "--no-telemetry", "--log-level=error",
		"--no-shconf", NULL};

	if (rte_eal_init(RTE_DIM(args) - 1, args) < 0 || pkt_init())
		return -1;
	pool = rte_pktmbuf_pool_create("few", n_mbufs, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

int
stop_eal(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	return rte_eal_cleanup();
}
