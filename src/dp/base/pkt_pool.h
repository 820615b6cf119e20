// The buffers of all packets.
#pragma once

#include <rte_mempool.h>

#define PKT_POOL_CACHE 256 // of each worker
// Of memory for one, with headers of the buffer and of the pool's element.
#define PKT_POOL_BYTES (RTE_MBUF_DEFAULT_BUF_SIZE + 320)

struct rte_mempool *pkt_pool_create(uint32_t n); // NULL: rte_errno says why
