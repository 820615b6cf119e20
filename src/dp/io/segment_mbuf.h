// Frames in the slots of a segment as chains of packet buffers, and back: one copy each way, so that nobody changes what is looked at
// here. What other nodes ask for (checksums, segments) becomes the flags that librte_vhost gives a guest's packets, and what is asked of
// others virtio's header.
#pragma once

#include "rtvs/segment.h"

#include <rte_mbuf.h>

// The worker that receives. NULL: the pool is empty.
struct rte_mbuf *segment_mbuf_read(
	struct rte_mempool *pool, const struct segment *seg, const struct segment_frame *frame);
// The worker that sends: m into the slots that were reserved for its bytes.
void segment_mbuf_write(struct rte_mbuf *m, const struct segment *seg, struct segment_frame *frame);
