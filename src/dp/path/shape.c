#include "shape.h"

#include "rtvs/frame.h"
#include "rtvs/frame_tos.h"
#include "rtvs/path_mtu.h"

#include <rte_ether.h>

#include <string.h>

#define TAG_BYTES 4

// Of a frame that has n bytes more before what it asks for.
static void
move_request(struct rte_mbuf *m, int n)
{
	struct offload o;

	if (likely(!pkt_asks(m)))
		return;
	o = pkt_offload(m);
	o.csum_start = (uint16_t)(o.csum_start + n);
	pkt_set_offload(m, o);
}

struct rte_mbuf *
shape_push_tag(struct worker *w, struct rte_mbuf *m, uint16_t tci)
{
	uint8_t *data;

	m = pkt_push(w->pool, m, TAG_BYTES);
	if (!m)
		return NULL;
	data = rte_pktmbuf_mtod(m, uint8_t *);
	memmove(data, data + TAG_BYTES, 2 * RTE_ETHER_ADDR_LEN);
	data[12] = RTE_ETHER_TYPE_VLAN >> 8;
	data[13] = RTE_ETHER_TYPE_VLAN & 0xff;
	data[14] = (uint8_t)(tci >> 8);
	data[15] = (uint8_t)tci;
	move_request(m, TAG_BYTES);
	return m;
}

struct rte_mbuf *
shape_pop_tag(struct worker *w, struct rte_mbuf *m)
{
	uint8_t *data;

	m = pkt_room(w->pool, m, 0);
	if (!m)
		return NULL;
	data = rte_pktmbuf_mtod(m, uint8_t *);
	memmove(data + TAG_BYTES, data, 2 * RTE_ETHER_ADDR_LEN);
	rte_pktmbuf_adj(m, TAG_BYTES);
	move_request(m, -TAG_BYTES);
	return m;
}

// The VLAN into a priority tag, whose priority stays.
static struct rte_mbuf *
set_vlan(struct worker *w, struct rte_mbuf *m, uint16_t vlan)
{
	uint8_t *data;

	m = pkt_room(w->pool, m, 0);
	if (!m)
		return NULL;
	data = rte_pktmbuf_mtod(m, uint8_t *);
	data[14] = (uint8_t)((data[14] & 0xf0) | vlan >> 8);
	data[15] = (uint8_t)vlan;
	return m;
}

// Without its tag a frame with two would belong to the inner VLAN for hosts behind a trunk.
static bool
hides_tag(const struct view_port *vp, const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);

	return vp->is_trunk && data[16] == RTE_ETHER_TYPE_VLAN >> 8 && data[17] == (RTE_ETHER_TYPE_VLAN & 0xff);
}

// Tags as the port wants them. A frame's tag is kept where the port wants the same VLAN tagged.
static enum drop
apply_vlan(struct worker *w, const struct view_port *vp, struct egress_pkt *pkt)
{
	bool wants_tag = pkt->vlan != vp->vlan;

	if (unlikely(!view_carries(vp, pkt->vlan)))
		return DROP_VLAN_EGRESS;
	if (wants_tag == pkt->is_tagged && likely(!pkt->is_priority))
		return DROP_NONE;
	if (!wants_tag && unlikely(hides_tag(vp, pkt->m)))
		return DROP_VLAN_EGRESS;
	if (!wants_tag)
		pkt->m = shape_pop_tag(w, pkt->m);
	else
		pkt->m = pkt->is_tagged ? set_vlan(w, pkt->m, pkt->vlan) : shape_push_tag(w, pkt->m, pkt->vlan);
	pkt->is_tagged = wants_tag;
	pkt->is_priority = false;
	return pkt->m ? DROP_NONE : DROP_NO_BUFFER;
}

// The port's limit for a packet behind its tags, which end at *ret_l3_offset. The path of a tunnel
// must have room for the tags, too. A tunnel takes IPv6 packets of 1,280 bytes in any case, as
// hosts need not make smaller ones (RFC 8200, section 5).
uint32_t
shape_mtu(const struct view_port *vp, const struct rte_mbuf *m, uint32_t *ret_l3_offset)
{
	uint32_t mtu = vp->frame_max - RTE_ETHER_HDR_LEN;
	uint16_t type = 0;

	*ret_l3_offset = (uint32_t)frame_skip_tags(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &type);
	if (likely(!vp->tunnel))
		return mtu;
	mtu = RTE_MIN(mtu, vp->tunnel->frame_max - *ret_l3_offset);
	return type == FRAME_ETHER_IPV6 ? RTE_MAX(mtu, PATH_MTU_FLOOR_IPV6) : mtu;
}

// The MTU counts the bytes behind the tags, as other switches and hosts do. A shorter frame fits
// with any tags, since the path of a tunnel has room for one.
static bool
exceeds_mtu(const struct view_port *vp, const struct rte_mbuf *m)
{
	uint32_t len = m->pkt_len, mtu, l3_offset;

	if (unlikely(pkt_is_super_frame(m))) {
		struct offload o = pkt_offload(m);

		len = (uint32_t)o.csum_start + o.l4_len + o.gso_size;
	}
	if (likely(len <= vp->frame_max))
		return false;
	mtu = shape_mtu(vp, m, &l3_offset);
	return len - l3_offset > mtu;
}

// Writes the DSCP into an IP packet. A packet that has it already is not copied, though others may
// share its bytes. An IPv4 checksum that a device shall compute (RTE_MBUF_F_TX_IP_CKSUM) may have
// any value before: updating it does no harm, as vhost and rte_eth_tx_prepare clear it first.
// Without that flag no later code checks it, so it must be right here.
static struct rte_mbuf *
mark(struct worker *w, struct rte_mbuf *m, uint8_t dscp)
{
	int old = frame_dscp(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);

	if (old < 0 || old == dscp)
		return m;
	m = pkt_room(w->pool, m, 0);
	if (m)
		(void)frame_dscp_set(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, dscp);
	return m;
}

uint8_t
shape_dscp(struct worker *w, const struct view *view, uint16_t from, uint32_t bytes)
{
	const struct view_port *vp = view_port(view, from);
	struct port_answer a = port_answer(view_answer(vp));

	if (likely(a.dscp == DSCP_KEEP))
		return vp->dscp_out;
	if (a.dscp == a.excess)
		return a.dscp;
	return vp->raised.rate && rate_limit_take(&vp->raised, &vp->port->paid.raised, bytes, w->now_ns) ? a.dscp :
													   a.excess;
}

// The frame in its port's form, or why it may not leave; then pkt->m, if it still exists, is the
// caller's to free.
enum drop
shape(struct worker *w, const struct view *view, const struct view_port *vp, struct egress_pkt *pkt)
{
	enum drop drop = likely(!pkt->is_raw) ? apply_vlan(w, vp, pkt) : DROP_NONE;
	uint8_t dscp;

	if (unlikely(drop != DROP_NONE))
		return drop;
	if (unlikely(exceeds_mtu(vp, pkt->m)))
		return DROP_MTU;
	if (vp->writes_dscp && !vp->tunnel) { // a tunnel's is written outside
		dscp = shape_dscp(w, view, pkt->m->port, pkt->m->pkt_len);
		if (dscp != DSCP_KEEP)
			pkt->m = mark(w, pkt->m, dscp);
	}
	return pkt->m ? DROP_NONE : DROP_NO_BUFFER;
}
