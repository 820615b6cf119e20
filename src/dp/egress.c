// How a packet leaves: VLAN tag, MTU, DSCP, offloads that the far side does not take, then staging. The worker that owns the
// port transmits at the end of each ingress burst (cut-through); others hand over through the port's ring.
// A port with a schedule gets them through it (schedule.c).
// Invariant: a packet given to egress_put is staged, in a ring, or counted as dropped on the egress port.
#include "base/pkt.h"
#include "capture.h"
#include "dp_state.h"
#include "rtvs/fragment.h"
#include "rtvs/frame.h"
#include "rtvs/path_mtu.h"
#include "schedule.h"
#include "trace.h"
#include "worker.h"

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <string.h>

#define TAG_BYTES 4
#define OFFLOAD_FLAGS (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG)
#define MAX_SEGMENTS 256 // a 64 KiB super-frame has 151 where a tunnel's way takes 576 bytes

static struct rte_mbuf *
push_tag(struct worker *w, struct rte_mbuf *m, uint16_t vlan)
{
	uint8_t *data;

	m = pkt_push(w->pool, m, TAG_BYTES);
	if (!m)
		return NULL;
	data = rte_pktmbuf_mtod(m, uint8_t *);
	memmove(data, data + TAG_BYTES, 2 * RTE_ETHER_ADDR_LEN);
	data[12] = RTE_ETHER_TYPE_VLAN >> 8;
	data[13] = RTE_ETHER_TYPE_VLAN & 0xff;
	data[14] = (uint8_t)(vlan >> 8);
	data[15] = (uint8_t)vlan;
	m->l2_len = (uint16_t)(m->l2_len + TAG_BYTES) & 0x7f;
	return m;
}

static struct rte_mbuf *
pop_tag(struct worker *w, struct rte_mbuf *m)
{
	uint8_t *data;

	m = pkt_own(w->pool, m);
	if (!m)
		return NULL;
	data = rte_pktmbuf_mtod(m, uint8_t *);
	memmove(data + TAG_BYTES, data, 2 * RTE_ETHER_ADDR_LEN);
	rte_pktmbuf_adj(m, TAG_BYTES);
	if (m->l2_len >= TAG_BYTES + RTE_ETHER_HDR_LEN)
		m->l2_len = (uint16_t)(m->l2_len - TAG_BYTES) & 0x7f;
	return m;
}

// The VLAN into a priority tag, whose priority stays.
static struct rte_mbuf *
set_vlan(struct worker *w, struct rte_mbuf *m, uint16_t vlan)
{
	uint8_t *data;

	m = pkt_own(w->pool, m);
	if (!m)
		return NULL;
	data = rte_pktmbuf_mtod(m, uint8_t *);
	data[14] = (uint8_t)((data[14] & 0xf0) | vlan >> 8);
	data[15] = (uint8_t)vlan;
	return m;
}

// Without its tag a frame with two would be one of the inner VLAN to whoever is behind a trunk.
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
		pkt->m = pop_tag(w, pkt->m);
	else
		pkt->m = pkt->is_tagged ? set_vlan(w, pkt->m, pkt->vlan) : push_tag(w, pkt->m, pkt->vlan);
	pkt->is_tagged = wants_tag;
	pkt->is_priority = false;
	return pkt->m ? DROP_NONE : DROP_NO_BUFFER;
}

// What the port takes of a packet behind its tags, which end at *ret_l3_offset. The way of a tunnel must have room for the tags, too. A tunnel
// takes IPv6 packets of 1,280 bytes in any case, as hosts need not make smaller ones (RFC 8200, section 5).
static uint32_t
egress_mtu(const struct view_port *vp, const struct rte_mbuf *m, uint32_t *ret_l3_offset)
{
	uint32_t mtu = vp->frame_max - RTE_ETHER_HDR_LEN;
	uint16_t type = 0;

	*ret_l3_offset = (uint32_t)frame_skip_tags(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &type);
	if (likely(!vp->tunnel))
		return mtu;
	mtu = RTE_MIN(mtu, vp->tunnel->frame_max - *ret_l3_offset);
	return type == FRAME_ETHER_IPV6 ? RTE_MAX(mtu, PATH_MTU_FLOOR_IPV6) : mtu;
}

// The MTU counts what is behind the tags, as other switches and hosts have it. A shorter frame fits with any tags, since the way of
// a tunnel has room for one.
static bool
exceeds_mtu(const struct view_port *vp, const struct rte_mbuf *m)
{
	uint32_t len = m->pkt_len, mtu, l3_offset;

	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		len = (uint32_t)(m->l2_len + m->l3_len + m->l4_len + m->tso_segsz);
	if (likely(len <= vp->frame_max))
		return false;
	mtu = egress_mtu(vp, m, &l3_offset);
	return len - l3_offset > mtu;
}

// Tags behind which librte_vhost sees no TCP: two of 802.1Q, or 802.1ad with none of 802.1Q behind it.
static bool
hides_tcp(const uint8_t *data, size_t len, const struct frame_l2 *l2)
{
	if (l2->ether_type == FRAME_ETHER_VLAN)
		return true;
	return l2->ether_type == FRAME_ETHER_QINQ &&
		(l2->is_tagged || frame_skip_tags(data, len, &(uint16_t){0}) != FRAME_MIN + 2 * TAG_BYTES);
}

// A TCP frame that its sender's own MTU does not allow, without a word about segments, which librte_vhost has lost.
static bool
is_lost_super_frame(const struct view_port *from, const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	struct frame_offload o;
	struct frame_l2 l2;

	return from->sends_super_frames && !(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && exceeds_mtu(from, m) &&
		frame_parse_l2(data, m->data_len, &l2) && hides_tcp(data, m->data_len, &l2) &&
		!frame_offload(data, m->data_len, m->pkt_len, &l2, true, &o);
}

// Writes the DSCP into an IP packet. One that has it already is not copied, though others may share its bytes.
// An IPv4 checksum that a device shall compute (RTE_MBUF_F_TX_IP_CKSUM) may be anything before: updating it does no harm, as
// vhost and rte_eth_tx_prepare clear it first. Without that flag nobody after this looks at it, so it must be right here.
static struct rte_mbuf *
mark(struct worker *w, struct rte_mbuf *m, uint8_t dscp)
{
	int old = frame_dscp(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);

	if (old < 0 || old == dscp)
		return m;
	m = pkt_own(w->pool, m);
	if (m)
		(void)frame_dscp_set(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, dscp);
	return m;
}

uint8_t
egress_dscp(struct worker *w, const struct view *view, uint16_t from, uint32_t bytes)
{
	const struct view_port *vp = &view->port[from];

	if (likely(vp->dscp_out == vp->dscp_excess))
		return vp->dscp_out;
	return vp->raised.rate && rate_limit_take(&vp->raised, &vp->port->paid.raised, bytes, w->now_ns) ?
		vp->dscp_out :
		vp->dscp_excess;
}

// The frame as the port wants it, or why it may not leave; then pkt->m, if it is still there, is the caller's to free.
static enum drop
shape(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt *pkt)
{
	const struct view_port *vp = &view->port[out];
	enum drop drop = apply_vlan(w, vp, pkt);
	uint8_t dscp;

	if (unlikely(drop != DROP_NONE))
		return drop;
	if (unlikely(exceeds_mtu(vp, pkt->m)))
		return is_lost_super_frame(&view->port[pkt->m->port], pkt->m) ? DROP_OFFLOAD : DROP_MTU;
	if (unlikely((pkt->m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && !pkt->m->tso_segsz))
		return DROP_OFFLOAD;
	if (vp->writes_dscp && !vp->tunnel) { // a tunnel's is written outside
		dscp = egress_dscp(w, view, pkt->m->port, pkt->m->pkt_len);
		if (dscp != DSCP_KEEP)
			pkt->m = mark(w, pkt->m, dscp);
	}
	return pkt->m ? DROP_NONE : DROP_NO_BUFFER;
}

// Queue of the packet, of n of the port.
static uint16_t
queue_of(const struct rte_mbuf *m, uint32_t n)
{
	return n > 1 ? (uint16_t)(frame_flow_hash(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len) % n) : 0;
}

// Gives packets at the front that go to the same queue, at most a burst. Packets that the port never takes are dropped, and the run ends
// behind those that the port is done with. Returns how many of the run are no longer the caller's.
static uint16_t
give_run(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n, uint16_t *ret_run)
{
	struct port *port = view->port[out].port;
	struct port_counters *c = &w->port[port->id].c;
	uint32_t n_txq = atomic_load_explicit(&port->n_txq, memory_order_relaxed);
	uint16_t q = queue_of(pkts[0], n_txq), run = 1, done, n_sent;
	struct port_refused refused;
	struct trace_burst traced;
	uint64_t bytes = 0;
	uint32_t sent;

	while (run < n && run < PORT_BURST && queue_of(pkts[run], n_txq) == q)
		run++;
	for (uint16_t k = 0; k < run; k++)
		bytes += pkts[k]->pkt_len;
	if (view->port[out].uplink)
		overlay_stamp(w, view, pkts, run);
	if (unlikely(view->has_traces))
		trace_before(w, view, out, q, pkts, run, &traced);
	refused.set = 0;
	n_sent = done = port->ops->tx(port, q, pkts, run, &refused);
	sent = (uint32_t)((UINT64_C(1) << done) - 1) & ~refused.set;
	if (unlikely(view->has_traces))
		trace_after(w, view, out, q, sent, &traced);
	if (unlikely(done < run || refused.set)) {
		if (view->port[out].uplink)
			overlay_unstamp(view, pkts, sent, run);
		for (uint16_t k = 0; k < run; k++)
			bytes -= sent >> k & 1 ? 0 : pkts[k]->pkt_len;
	}
	*ret_run = refused.set ? done : run;
	for (; unlikely(refused.set); refused.set &= refused.set - 1, n_sent--) {
		unsigned k = (unsigned)__builtin_ctz(refused.set);

		pkt_drop(&w->port[out].c, pkts[k], refused.why[k]);
	}
	counters_add(&c->tx_pkts, n_sent);
	counters_add(&c->tx_bytes, bytes);
	return done;
}

uint16_t
egress_give(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t sum = 0, gone, run;

	do {
		gone = give_run(w, view, out, &pkts[sum], (uint16_t)(n - sum), &run);
		sum = (uint16_t)(sum + gone);
	} while (gone == run && sum < n);
	return sum;
}

// Without a schedule: what the port does not take is dropped.
static void
transmit(struct worker *w, const struct view *view, uint16_t out)
{
	struct worker_tx *tx = &w->port[out].tx;

	if (unlikely(view->port[out].capture))
		capture_burst(w, view->port[out].capture, tx->pkts, tx->n, true);
	for (uint16_t i = 0, run; i < tx->n; i = (uint16_t)(i + run)) {
		uint16_t gone = give_run(w, view, out, &tx->pkts[i], (uint16_t)(tx->n - i), &run);

		for (uint16_t k = gone; k < run; k++)
			pkt_drop(&w->port[out].c, tx->pkts[i + k], DROP_TX_FULL);
	}
	tx->n = 0;
}

static void
leave(struct worker *w, const struct view *view, uint16_t out)
{
	if (unlikely(view->port[out].trace))
		trace_queued(w, view, out, w->port[out].tx.pkts, w->port[out].tx.n);
	if (view->port[out].schedule)
		schedule_put(w, view, out);
	else
		transmit(w, view, out);
}

// All packets come through here, those of the daemon itself and mirrored ones, too.
static void
stage(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m)
{
	struct worker_tx *tx = &w->port[out].tx;

	// The shortest frame of a network: not all devices fill it up, and none may send what was in the buffer before.
	if (unlikely(m->pkt_len < FRAME_WIRE_MIN)) {
		m = pkt_pad(w->pool, m, (uint16_t)(FRAME_WIRE_MIN - m->pkt_len));
		if (!m) {
			counters_add(&w->port[out].c.drops[DROP_NO_BUFFER], 1);
			return;
		}
	}
	if (tx->n == RTE_DIM(tx->pkts))
		leave(w, view, out);
	else if (!tx->n)
		w->dirty[w->n_dirty++] = out;
	tx->pkts[tx->n++] = m;
	// A port flushed in the middle of a burst stays on the list: egress_flush takes empty stages, too.
}

static bool
is_ready(const struct view_port *vp)
{
	return atomic_load_explicit(&vp->port->is_up, memory_order_relaxed) && vp->is_admin_up;
}

// A tunnel's packets go on to its uplink.
static void
stage_or_hand_over(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m)
{
	struct port *port = view->port[out].port;

	if (view->port[out].tunnel) {
		m = overlay_encap(w, view, out, m);
		if (!m)
			return;
		out = view->port[out].tunnel->uplink;
		port = view->port[out].port;
		if (unlikely(!is_ready(&view->port[out]))) {
			pkt_drop(&w->port[out].c, m, DROP_LINK_DOWN);
			return;
		}
		if (unlikely(m->pkt_len > view->port[out].frame_max + (view->port[out].vlan ? TAG_BYTES : 0))) {
			pkt_drop(&w->port[out].c, m, DROP_MTU);
			return;
		}
	} else if (view->port[out].schedule || view->port[out].trace) {
		pkt_item(m)->arrival_ns = w->now_ns;
	}
	if (likely(port->owner == w->index)) {
		stage(w, view, out, m);
		return;
	}
	if (!mailbox_put(&port->handoff, m)) {
		pkt_drop(&w->port[out].c, m, DROP_HANDOFF_FULL);
		return;
	}
	counters_add(&w->port[out].c.queued_in, 1);
	if (atomic_load_explicit(&w->dp->idle, memory_order_relaxed) != DP_IDLE_ADAPTIVE)
		return;
	// An owner that is awake gives it to the guest sooner than the guest can be asked whether it sleeps.
	if (unlikely(view->port[out].prewake) && !view->port[out].rate &&
		waker_is_asleep(&w->dp->worker[port->owner]->waker))
		trace_prewake(w, view, out, w->now_ns);
	waker_wake(&w->dp->worker[port->owner]->waker);
}

// librte_vhost and drivers make the checksum's pseudo header of the next header of IPv6 itself, be it an extension's.
static bool
takes_super_frame(const struct rte_mbuf *m, uint32_t caps)
{
	if (!(m->ol_flags & RTE_MBUF_F_TX_IPV6))
		return caps & PORT_CAP_TSO4;
	return (caps & PORT_CAP_TSO6) && m->l3_len == sizeof(struct rte_ipv6_hdr);
}

// m leaves as parts of it.
static void
put_parts(
	struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m, struct rte_mbuf **part, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		part[i]->port = m->port;
	pkt_inherit(part[0], m);
	pkt_free(m);
	counters_add(&w->port[out].c.replicated, n - 1);
	for (unsigned i = 0; i < n; i++)
		stage_or_hand_over(w, view, out, part[i]);
}

// m with the checksum that was left to others. NULL: m is gone.
static struct rte_mbuf *
finish_checksum(struct worker *w, uint16_t out, struct rte_mbuf *m)
{
	m = pkt_own(w->pool, m);
	if (!m) {
		counters_add(&w->port[out].c.drops[DROP_NO_BUFFER], 1);
		return NULL;
	}
	if (gso_finish_checksum(m))
		return m;
	pkt_drop(&w->port[out].c, m, DROP_OFFLOAD);
	return NULL;
}

// What the port's far side does not take: segments, checksums, chains. Owns pkt->m.
static void
put_in_software(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m, uint32_t caps)
{
	struct rte_mbuf *seg[MAX_SEGMENTS];
	bool needs_gso = (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && !takes_super_frame(m, caps);
	int n;

	if (needs_gso) {
		n = gso_segment(w->pool, m, seg, MAX_SEGMENTS);
		if (n <= 0) {
			pkt_drop(&w->port[out].c, m, n ? DROP_NO_BUFFER : DROP_OFFLOAD);
			return;
		}
		put_parts(w, view, out, m, seg, (unsigned)n);
		return;
	}
	if ((m->ol_flags & OFFLOAD_FLAGS) && !(caps & PORT_CAP_CSUM)) {
		m = finish_checksum(w, out, m);
		if (!m)
			return;
	}
	if (m->nb_segs > 1 && !(caps & PORT_CAP_SEGS)) {
		m = pkt_flatten(w->pool, m);
		if (!m) {
			counters_add(&w->port[out].c.drops[DROP_OFFLOAD], 1);
			return;
		}
	}
	stage_or_hand_over(w, view, out, m);
}

// A packet that is longer than the tunnel `out` takes: its sender is told why it does not leave, or it leaves in fragments; of a
// super-frame the segments may be smaller, as TCP is a stream.
static void
put_too_long(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt pkt)
{
	uint32_t l3_offset, mtu = egress_mtu(&view->port[out], pkt.m, &l3_offset);
	struct rte_mbuf *part[FRAGMENT_MAX], *m = pkt.m;
	uint32_t tcp_headers = (uint32_t)(m->l3_len + m->l4_len);
	struct fragment_plan plan;
	int rc = fragment_plan(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len, mtu, &plan);

	if (rc == -EMSGSIZE) {
		overlay_too_big(w, view, out, &pkt, mtu);
		pkt_drop(&w->port[out].c, m, DROP_MTU);
	} else if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && mtu > tcp_headers) {
		m->tso_segsz = (uint16_t)(mtu - tcp_headers);
		put_in_software(w, view, out, m, 0);
	} else if (rc) {
		pkt_drop(&w->port[out].c, m, DROP_UNFRAGMENTABLE);
	} else if (!(m->ol_flags & OFFLOAD_FLAGS) || (m = finish_checksum(w, out, m))) {
		if (gso_fragment(w->pool, m, &plan, part))
			put_parts(w, view, out, m, part, plan.n);
		else
			pkt_drop(&w->port[out].c, m, DROP_NO_BUFFER);
	}
}

void
egress_put(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt pkt)
{
	const struct view_port *vp = &view->port[out];
	uint32_t caps;
	enum drop drop;

	if (unlikely(!is_ready(vp))) {
		pkt_drop(&w->port[out].c, pkt.m, DROP_LINK_DOWN);
		return;
	}
	if (!vp->is_mirror_target) { // which gets frames as they were seen
		drop = shape(w, view, out, &pkt);
		if (unlikely(drop != DROP_NONE)) {
			if (drop == DROP_MTU && vp->tunnel)
				put_too_long(w, view, out, pkt);
			else
				pkt_drop(&w->port[out].c, pkt.m, drop);
			return;
		}
	}
	caps = atomic_load_explicit(&vp->port->caps, memory_order_relaxed);
	// A super-frame would hold up the link for as long as dozens of packets, and its flow's bucket would not hold it.
	if (vp->schedule && (vp->rate || view->port[pkt.m->port].flow.min_rate))
		caps &= ~(uint32_t)(PORT_CAP_TSO4 | PORT_CAP_TSO6);
	if (unlikely((pkt.m->ol_flags & OFFLOAD_FLAGS) || pkt.m->nb_segs > 1) &&
		(caps != (PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6 | PORT_CAP_SEGS) ||
			((pkt.m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && !takes_super_frame(pkt.m, caps)))) {
		put_in_software(w, view, out, pkt.m, caps);
		return;
	}
	stage_or_hand_over(w, view, out, pkt.m);
}

void
egress_flush(struct worker *w, const struct view *view)
{
	for (uint16_t i = 0; i < w->n_dirty; i++)
		if (w->port[w->dirty[i]].tx.n)
			leave(w, view, w->dirty[i]);
	w->n_dirty = 0;
}

// What the control thread sends. It took nothing from a port: counted as if made here.
static unsigned
inject(struct worker *w, const struct view *view, uint16_t out)
{
	struct rte_mbuf *pkts[PORT_BURST];
	unsigned n = mailbox_take(&view->port[out].port->inject, pkts, PORT_BURST);

	counters_add(&w->port[out].c.replicated, n);
	for (unsigned i = 0; i < n; i++) {
		pkt_item(pkts[i])->arrival_ns = w->now_ns;
		if (is_ready(&view->port[out]))
			stage(w, view, out, pkts[i]);
		else
			pkt_drop(&w->port[out].c, pkts[i], DROP_LINK_DOWN);
	}
	return n;
}

unsigned
egress_drain(struct worker *w, const struct view *view)
{
	const struct view_worker *mine = &view->worker[w->index];
	struct rte_mbuf *pkts[PORT_BURST];
	unsigned sum = 0;

	for (uint16_t i = 0; i < mine->n_owned; i++) {
		uint16_t out = mine->owned[i];
		struct port *port = view->port[out].port;
		unsigned n;

		if (mailbox_is(&port->inject))
			sum += inject(w, view, out);
		n = mailbox_take(&port->handoff, pkts, PORT_BURST);
		if (!n)
			continue;
		counters_add(&w->port[out].c.queued_out, n);
		for (unsigned k = 0; k < n; k++) {
			worker_work(w, 1, pkts[k]->pkt_len);
			stage(w, view, out, pkts[k]);
		}
		sum += n;
	}
	egress_flush(w, view);
	return sum;
}
