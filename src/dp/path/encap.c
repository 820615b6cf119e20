// In the packet's own buffer. The time of departure is written last, after the scheduler has picked
// the packet.
#include "encap.h"

#include "capture.h"
#include "pace.h"
#include "rtvs/frame_tos.h"
#include "shape.h"

#include <rte_udp.h>

// By the uplink's device where it does so.
static void
add_checksum(const struct view *view, const struct view_tunnel *t, struct rte_mbuf *m, uint16_t inner_len)
{
	const struct geneve_template *h = &t->headers;
	uint32_t caps = atomic_load_explicit(&view_port(view, t->uplink)->port->device.caps, memory_order_relaxed);

	if (!(caps & PORT_CAP_CSUM)) {
		geneve_finish_checksum(rte_pktmbuf_mtod(m, uint8_t *), h, inner_len);
		return;
	}
	if (caps & PORT_CAP_ANYWHERE) {
		pkt_set_offload(m,
			(struct offload){
				.csum_start = h->udp_offset, .csum_offset = offsetof(struct rte_udp_hdr, dgram_cksum)});
		return;
	}
	m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | (h->is_ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	m->l2_len = h->l3_offset;
	m->l3_len = (uint16_t)(h->udp_offset - h->l3_offset);
}

static uint8_t
tos_of(const uint8_t *frame, size_t n)
{
	int tos = frame_tos(frame, n);

	return tos < 0 ? 0 : (uint8_t)tos;
}

// What geneve_push writes of the sender's deadline.
static uint32_t
deadline_of(const struct view_port *from)
{
	return (uint32_t)RTE_MIN(from->deadline_ns, (uint64_t)UINT32_MAX);
}

enum drop
encap(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkt)
{
	const struct view_port *vp = view_port(view, out), *from = view_port(view, (*pkt)->port);
	const struct view_tunnel *t = vp->tunnel;
	struct rte_mbuf *m = *pkt;
	uint16_t inner_len = (uint16_t)m->pkt_len, source_port;
	uint8_t dscp, inner_tos;

	if (unlikely(!t->is_resolved))
		return DROP_NO_NEIGHBOR;
	*pkt = m = pkt_room(w->pool, m, t->headers.len);
	if (unlikely(!m))
		return DROP_NO_BUFFER;
	if (unlikely(vp->capture))
		capture_burst(w, vp->capture, &m, 1, true);
	inner_tos = tos_of(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	dscp = vp->writes_dscp ? shape_dscp(w, view, m->port, m->pkt_len + t->headers.len) : DSCP_KEEP;
	if (dscp == DSCP_KEEP)
		dscp = inner_tos >> 2;
	source_port = geneve_source_port(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	geneve_push(&t->headers, (uint8_t *)rte_pktmbuf_prepend(m, t->headers.len), inner_len, source_port,
		geneve_outer_tos(inner_tos, dscp), deadline_of(from), m->port);
	m->ol_flags = pkt_fields.is_tunnelled | (m->ol_flags & pkt_trace_flags());
	*pkt_tunnel(m) = (struct pkt_tunnel){.port = out, .serial = (uint16_t)vp->port->serial};
	if (t->headers.has_csum)
		add_checksum(view, t, m, inner_len);
	pkt_item(m)->arrival_ns = w->now_ns;
	counters_add(&w->port[out].c.tx_pkts, 1);
	counters_add(&w->port[out].c.tx_bytes, inner_len);
	return DROP_NONE;
}

// NULL: not of a tunnel, or of one that is gone: it leaves as it is.
static const struct view_tunnel *
tunnel_of(const struct view *view, struct rte_mbuf *m)
{
	const struct pkt_tunnel *mark = pkt_tunnel(m);
	const struct view_port *vp;

	if (!(m->ol_flags & pkt_fields.is_tunnelled))
		return NULL;
	vp = view_port(view, mark->port);
	return vp->tunnel && (uint16_t)vp->port->serial == mark->serial ? vp->tunnel : NULL;
}

void
encap_queued(const struct view *view, struct rte_mbuf *m, int by)
{
	const struct view_tunnel *t = tunnel_of(view, m);

	if (t)
		__atomic_store_n(&t->queued[m->port], t->queued[m->port] + (uint32_t)by, __ATOMIC_RELAXED);
}

// The number, and the next one is `by` more. One writer; the control thread reads.
static uint64_t
next_seq(const struct view_tunnel *t, uint16_t flow, int by)
{
	uint64_t seq = t->seq[flow];

	__atomic_store_n(&t->seq[flow], seq + (uint64_t)(int64_t)by, __ATOMIC_RELAXED);
	return seq;
}

_Static_assert(GENEVE_HEADER_MAX <= RTE_PKTMBUF_HEADROOM, "headers fit in front of a frame's head");

bool
encap_frames(struct worker *w, const struct view *view, uint16_t out, uint16_t in, struct guest_frame *frame,
	const uint8_t *which, uint16_t n)
{
	const struct view_port *vp = view_port(view, out), *from = view_port(view, in);
	const struct view_tunnel *t = vp->tunnel;
	uint8_t dscp = vp->writes_dscp ? from->dscp_out : DSCP_KEEP;
	uint64_t arrival_ns = w->now_ns, seq;
	struct geneve_template run;

	// An answer raises some packets of a burst.
	if (vp->writes_dscp && port_answer(view_answer(from)).dscp != DSCP_KEEP)
		return false;
	pace_tick(w);
	geneve_run_init(&run, &t->headers, clock_tai_ns(&w->env->clock, w->now_ns), w->now_ns - arrival_ns,
		deadline_of(from), in);
	seq = next_seq(t, in, n);
	for (uint16_t k = 0; k < n; k++) {
		struct guest_frame *f = &frame[which[k]];
		uint8_t tos = tos_of(f->head, f->n_head);
		uint16_t source_port = geneve_source_port(f->head, f->n_head);

		f->head -= run.len;
		geneve_push_run(&run, f->head, f->n_bytes, source_port,
			geneve_outer_tos(tos, dscp == DSCP_KEEP ? tos >> 2 : dscp), seq + k);
		f->n_head = (uint16_t)(f->n_head + run.len);
		f->n_bytes += run.len;
	}
	return true;
}

void
encap_undo_frames(
	const struct view *view, uint16_t out, uint16_t in, struct guest_frame *frame, const uint8_t *which, uint16_t n)
{
	const struct view_tunnel *t = view_port(view, out)->tunnel;

	for (uint16_t k = 0; k < n; k++) {
		struct guest_frame *f = &frame[which[k]];

		f->head += t->headers.len;
		f->n_head = (uint16_t)(f->n_head - t->headers.len);
		f->n_bytes -= t->headers.len;
	}
	(void)next_seq(t, in, -(int)n);
}

void
encap_stamp(struct worker *w, const struct view *view, struct rte_mbuf **pkts, uint16_t n)
{

	pace_tick(w);
	for (uint16_t i = 0; i < n; i++) {
		const struct view_tunnel *t = tunnel_of(view, pkts[i]);

		if (t)
			geneve_patch_meta(rte_pktmbuf_mtod(pkts[i], uint8_t *), &t->headers,
				next_seq(t, pkts[i]->port, 1), clock_tai_ns(&w->env->clock, w->now_ns),
				w->now_ns - pkt_item(pkts[i])->arrival_ns,
				t->headers.has_csum &&
					!(pkts[i]->ol_flags & (pkt_fields.asks | RTE_MBUF_F_TX_L4_MASK)));
	}
}

void
encap_unstamp(const struct view *view, struct rte_mbuf **pkts, uint32_t sent, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		const struct view_tunnel *t = sent >> i & 1 ? NULL : tunnel_of(view, pkts[i]);

		if (t)
			(void)next_seq(t, pkts[i]->port, -1);
	}
}
