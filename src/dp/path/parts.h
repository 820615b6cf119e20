// Work on a packet that a port's far side does not do, in software: segments, fragments, checksums,
// chains of buffers.
#pragma once

#include "rtvs/drop.h"

#include <rte_mbuf.h>

#define PARTS_MAX 256 // a 64 KiB super-frame has 151 where a tunnel's way takes 576 bytes

// Both make *ret_n packets of *m, which is NULL then; all are the caller's. Otherwise why that is
// impossible, and *m is still the caller's, or NULL: it is gone. caps: enum port_cap of their
// egress port.
enum drop parts_make(struct rte_mempool *pool, struct rte_mbuf **m, uint32_t caps, struct rte_mbuf *part[PARTS_MAX],
	unsigned *ret_n);
// Of a packet that is longer than mtu: fragments, or smaller segments of a super-frame, as TCP is a
// stream. DROP_MTU: its sender must be told.
enum drop parts_fit(
	struct rte_mempool *pool, struct rte_mbuf **m, uint32_t mtu, struct rte_mbuf *part[PARTS_MAX], unsigned *ret_n);
