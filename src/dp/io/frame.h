// Frames of the kernel's interfaces in packet buffers.
#pragma once

#include <rte_ether.h>

#include <stdint.h>

#define FRAME_EXTRA (RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN) // beyond the MTU

struct rte_mbuf;
struct rte_mempool;

// Appends bytes to a packet of one owner, in further buffers as they are needed. Returns how many:
// less than len if there are no more buffers for the moment. 64 KiB at most, so that it is 33
// buffers at most.
uint32_t frame_append(struct rte_mbuf *m, struct rte_mempool *pool, const uint8_t *bytes, uint32_t len);
