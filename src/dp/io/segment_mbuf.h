// Frames in the slots of a segment as chains of packet buffers, and back: one copy each way, so
// that no node changes bytes that are read here. A frame's request for a checksum or segments is
// virtio's, both ways.
#pragma once

#include "rtvs/segment.h"

#include <rte_mbuf.h>

// The worker that receives. NULL: the pool is empty.
struct rte_mbuf *segment_mbuf_read(
	struct rte_mempool *pool, const struct segment *seg, const struct segment_frame *frame);
// The worker that sends: m into the slots that were reserved for its bytes.
void segment_mbuf_write(struct rte_mbuf *m, const struct segment *seg, struct segment_frame *frame);
