// DPDK without a datapath, for tests that need packets only.
#pragma once

#include "../../../src/dp/base/pkt.h"
#include "../unit.h"

#include <rte_mempool.h>

extern struct rte_mempool *pool; // of start_eal

// 0: it runs, packets may be marked (pkt_init), and the pool has so many
int start_eal(unsigned n_mbufs);
int stop_eal(void **state); // of a group
