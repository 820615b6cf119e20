#include "too_big.h"

#include "rtvs/icmp_too_big.h"

#define TOO_BIG_PPS 100 // answers to one port
#define TOO_BIG_BURST 10

struct rte_mbuf *
too_big(struct worker *w, const struct view *view, uint16_t out, const struct rte_mbuf *m, uint32_t mtu)
{
	struct rate *r = &w->port[m->port].too_big;
	struct rte_mbuf *answer;
	uint8_t *frame;
	size_t len;

	if (r->rate != TOO_BIG_PPS)
		rate_init(r, TOO_BIG_PPS, TOO_BIG_BURST, w->now_ns);
	if (!view_port(view, m->port)->port || !rate_take(r, 1, w->now_ns))
		return NULL;
	answer = pkt_make(w->pool, 0);
	if (!answer)
		return NULL;
	frame = rte_pktmbuf_mtod(answer, uint8_t *);
	len = icmp_too_big(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len, mtu, frame);
	if (!len) {
		pkt_free(answer);
		return NULL;
	}
	(void)rte_pktmbuf_append(answer, (uint16_t)len);
	answer->port = out;
	return answer;
}
