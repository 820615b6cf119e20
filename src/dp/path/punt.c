#include "punt.h"

#include "rtvs/frame.h"

#include <string.h>

#define PUNT_PPS 2000 // of one uplink
#define PUNT_BURST 200
#define IP_HEADER_V4 20
#define IP_HEADER_V6 40

// Is it for the daemon: ARP, or IP to the uplink's address, or a group that asks for it?
static bool
is_for_us(const struct view_port *vp, const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *), *dst;
	const struct prefix *own = &vp->uplink->address;
	struct frame_l2 l2;

	if (!frame_parse_l2(data, m->data_len, &l2) || l2.vlan != vp->vlan)
		return false;
	if (l2.ether_type == FRAME_ETHER_ARP)
		return !own->is_v6;
	if (l2.ether_type != (own->is_v6 ? FRAME_ETHER_IPV6 : FRAME_ETHER_IPV4) ||
		m->data_len < l2.l3_offset + (own->is_v6 ? IP_HEADER_V6 : IP_HEADER_V4))
		return false;
	dst = data + l2.l3_offset + (own->is_v6 ? 24 : 16);
	return own->is_v6 ? !memcmp(dst, own->addr, 16) || dst[0] == 0xff : !memcmp(dst, own->addr, 4);
}

void
punt(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf *m)
{
	struct rate *r = &w->port[in].punt;

	if (!is_for_us(view_port(view, in), m)) {
		pkt_drop(&w->port[in].c, m, DROP_NOT_OURS);
		return;
	}
	if (r->rate != PUNT_PPS)
		rate_init(r, PUNT_PPS, PUNT_BURST, w->now_ns);
	pkt_item(m)->arrival_ns = w->now_ns;
	if (!rate_take(r, 1, w->now_ns) || !mailbox_put(&w->env->punt, m)) {
		pkt_drop(&w->port[in].c, m, DROP_DAEMON_BUSY);
		return;
	}
	counters_add(&w->port[in].c.to_daemon, 1);
	event_queue_wake(&w->env->events);
}
