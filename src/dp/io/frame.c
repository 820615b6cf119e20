// A frame is copied here where the kernel's memory or another buffer has it; which of them, the
// caller knows.
#include "frame.h"

#include <rte_mbuf.h>

#include <string.h>

uint32_t
frame_append(struct rte_mbuf *m, struct rte_mempool *pool, const uint8_t *bytes, uint32_t len)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(m);
	uint32_t done = 0;

	while (done < len) {
		uint32_t n = RTE_MIN(len - done, (uint32_t)rte_pktmbuf_tailroom(last));

		if (!n) {
			last = rte_pktmbuf_alloc(pool);
			if (!last)
				break;
			(void)rte_pktmbuf_chain(m, last);
			continue;
		}
		memcpy(rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len), bytes + done, n);
		last->data_len = (uint16_t)(last->data_len + n);
		m->pkt_len += n;
		done += n;
	}
	return done;
}
