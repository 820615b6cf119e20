// Encapsulation where a frame is switched, decapsulation where it was received; both in the packet's own buffer. The time of
// departure is written last, when the scheduler has let the packet go. Reads frames of the underlay, which anybody may have
// sent: rtvs/geneve.h checks them.
#include "overlay.h"

#include "base/pkt.h"
#include "capture.h"
#include "dp_state.h"
#include "rtvs/frame.h"
#include "rtvs/icmp_too_big.h"
#include "schedule.h"
#include "trace.h"
#include "underlay.h"
#include "worker.h"

#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <rte_ring_elem.h>

#include <string.h>
#include <sys/eventfd.h>

#define TOO_BIG_PPS 100 // answers to one port
#define TOO_BIG_BURST 10

static uint32_t
slot_of(const uint8_t *remote, bool is_v6, uint32_t vni)
{
	uint64_t high = 0, low = 0;

	memcpy(&high, remote, is_v6 ? 8 : 4);
	if (is_v6)
		memcpy(&low, remote + 8, 8);
	return rte_hash_crc_8byte(low, rte_hash_crc_8byte(high, vni)) % OVERLAY_HASH_SIZE;
}

void
overlay_index(struct view *view, uint16_t tunnel, const struct port *port)
{
	struct view_uplink *up = view->port[view->tunnels[tunnel].uplink].uplink;
	uint32_t slot = slot_of(port->cfg.remote.addr, port->cfg.remote.is_v6, port->cfg.vni);

	while (up->tunnel[slot] != VIEW_NO_PORT) // there are more slots than ports
		slot = (slot + 1) % OVERLAY_HASH_SIZE;
	up->tunnel[slot] = tunnel;
}

static bool
is_from(const struct view_tunnel *t, const struct geneve_packet *p)
{
	return t->vni == p->vni && t->remote.is_v6 == p->is_ipv6 &&
		!memcmp(t->remote.addr, p->src, p->is_ipv6 ? 16 : 4);
}

// last: the tunnel of the packet before, which most are of, or VIEW_NO_PORT.
static uint16_t
find_tunnel(const struct view *view, const struct view_uplink *up, const struct geneve_packet *p, uint16_t last)
{
	uint32_t slot;

	if (last != VIEW_NO_PORT && is_from(&view->tunnels[last], p))
		return last;
	for (slot = slot_of(p->src, p->is_ipv6, p->vni); up->tunnel[slot] != VIEW_NO_PORT;
		slot = (slot + 1) % OVERLAY_HASH_SIZE)
		if (is_from(&view->tunnels[up->tunnel[slot]], p))
			return up->tunnel[slot];
	return VIEW_NO_PORT;
}

// By the uplink's device where it does so.
static void
add_checksum(const struct view *view, const struct view_tunnel *t, struct rte_mbuf *m, uint16_t inner_len)
{
	const struct geneve_template *h = &t->headers;

	if (!(atomic_load_explicit(&view->port[t->uplink].port->caps, memory_order_relaxed) & PORT_CAP_CSUM)) {
		geneve_finish_checksum(rte_pktmbuf_mtod(m, uint8_t *), h, inner_len);
		return;
	}
	m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | (h->is_ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	m->l2_len = h->l3_offset;
	m->l3_len = (uint16_t)(h->udp_offset - h->l3_offset);
}

struct rte_mbuf *
overlay_encap(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m)
{
	const struct view_port *vp = &view->port[out], *from = &view->port[m->port];
	const struct view_tunnel *t = vp->tunnel;
	uint16_t inner_len = (uint16_t)m->pkt_len, source_port;
	uint8_t dscp, inner_tos;
	int tos;

	if (unlikely(!t->is_resolved)) {
		pkt_drop(&w->port[out].c, m, DROP_NO_NEIGHBOR);
		return NULL;
	}
	m = pkt_room(w->pool, m, t->headers.len);
	if (unlikely(!m)) {
		counters_add(&w->port[out].c.drops[DROP_NO_BUFFER], 1);
		return NULL;
	}
	if (unlikely(vp->capture))
		capture_burst(w, vp->capture, &m, 1, true);
	tos = frame_tos(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	inner_tos = tos < 0 ? 0 : (uint8_t)tos;
	dscp = vp->writes_dscp ? egress_dscp(w, view, m->port, m->pkt_len + t->headers.len) : DSCP_KEEP;
	if (dscp == DSCP_KEEP)
		dscp = inner_tos >> 2;
	source_port = geneve_source_port(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	geneve_push(&t->headers, (uint8_t *)rte_pktmbuf_prepend(m, t->headers.len), inner_len, source_port,
		geneve_outer_tos(inner_tos, dscp), (uint32_t)RTE_MIN(from->deadline_ns, (uint64_t)UINT32_MAX), m->port);
	m->ol_flags = pkt_fields.is_tunnelled | (m->ol_flags & pkt_trace_flags());
	*pkt_tunnel(m) = (struct pkt_tunnel){.port = out, .serial = (uint16_t)vp->port->serial};
	if (t->headers.has_csum)
		add_checksum(view, t, m, inner_len);
	pkt_item(m)->arrival_ns = w->now_ns;
	counters_add(&w->port[out].c.tx_pkts, 1);
	counters_add(&w->port[out].c.tx_bytes, inner_len);
	return m;
}

void
overlay_too_big(struct worker *w, const struct view *view, uint16_t out, const struct egress_pkt *pkt, uint32_t mtu)
{
	struct rate *r = &w->port[pkt->m->port].too_big;
	struct egress_pkt answer = *pkt;
	uint8_t *frame;
	size_t len;

	if (r->rate != TOO_BIG_PPS)
		rate_init(r, TOO_BIG_PPS, TOO_BIG_BURST, w->now_ns);
	if (!view->port[pkt->m->port].port || !rate_take(r, 1, w->now_ns))
		return;
	answer.m = rte_pktmbuf_alloc(w->pool);
	if (!answer.m)
		return;
	frame = rte_pktmbuf_mtod(answer.m, uint8_t *);
	len = icmp_too_big(rte_pktmbuf_mtod(pkt->m, const uint8_t *), pkt->m->data_len, pkt->m->pkt_len, mtu, frame);
	if (!len) {
		pkt_free(answer.m);
		return;
	}
	(void)rte_pktmbuf_append(answer.m, (uint16_t)len);
	answer.m->port = out;
	counters_add(&w->port[out].c.replicated, 1);
	egress_put(w, view, pkt->m->port, answer);
}

// NULL: not of a tunnel, or of one that is gone: it leaves as it is.
static const struct view_tunnel *
tunnel_of(const struct view *view, struct rte_mbuf *m)
{
	const struct pkt_tunnel *mark = pkt_tunnel(m);
	const struct view_port *vp;

	if (!(m->ol_flags & pkt_fields.is_tunnelled))
		return NULL;
	vp = &view->port[mark->port];
	return vp->tunnel && (uint16_t)vp->port->serial == mark->serial ? vp->tunnel : NULL;
}

void
overlay_queued(const struct view *view, struct rte_mbuf *m, int by)
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

void
overlay_stamp(struct worker *w, const struct view *view, struct rte_mbuf **pkts, uint16_t n)
{

	worker_tick(w);
	for (uint16_t i = 0; i < n; i++) {
		const struct view_tunnel *t = tunnel_of(view, pkts[i]);

		if (t)
			geneve_patch_meta(rte_pktmbuf_mtod(pkts[i], uint8_t *), &t->headers,
				next_seq(t, pkts[i]->port, 1), clock_tai_ns(&w->dp->clock, w->now_ns),
				w->now_ns - pkt_item(pkts[i])->arrival_ns,
				t->headers.has_csum && !(pkts[i]->ol_flags & RTE_MBUF_F_TX_L4_MASK));
	}
}

void
overlay_unstamp(const struct view *view, struct rte_mbuf **pkts, uint32_t sent, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		const struct view_tunnel *t = sent >> i & 1 ? NULL : tunnel_of(view, pkts[i]);

		if (t)
			(void)next_seq(t, pkts[i]->port, -1);
	}
}

static struct overlay_delays *
delays_of(const struct dp *dp, unsigned tunnel)
{
	const struct port *port = tunnel < DP_MAX_PORTS ? dp->port[tunnel] : NULL;

	return port && port->cfg.type == DP_PORT_GENEVE ? port_geneve_delays(port) : NULL;
}

void
dp_tunnel_set_interval(struct dp *dp, unsigned tunnel, uint64_t interval_ns)
{
	struct overlay_delays *d = delays_of(dp, tunnel);

	if (d)
		atomic_store_explicit(&d->interval_ns, interval_ns, memory_order_relaxed);
}

void
dp_tunnel_set_clock(struct dp *dp, unsigned tunnel, int64_t offset_ns, uint64_t uncertainty_ns)
{
	struct overlay_delays *d = delays_of(dp, tunnel);

	if (d)
		shared_clock_set(&d->clock, offset_ns, uncertainty_ns);
}

// Packets of one flow in a row, which have come.
struct arrivals {
	uint16_t tunnel, flow, n;
	struct flow_delay_packet packet[PORT_BURST];
};

static void
account(struct worker *w, const struct view *view, struct arrivals *run)
{
	struct overlay_delays *d = view->port[run->tunnel].tunnel->delays;
	struct overlay_flow *flow = atomic_load_explicit(&d->flow[run->flow], memory_order_acquire);
	uint64_t uncertainty_ns, interval_ns;
	int64_t offset_ns;

	if (unlikely(!flow)) {
		if (!atomic_exchange_explicit(&d->is_wanted[run->flow], true, memory_order_relaxed))
			event_queue_wake(&w->dp->events);
		return;
	}
	shared_clock_get(&d->clock, &offset_ns, &uncertainty_ns);
	for (uint16_t i = 0; i < run->n; i++) {
		run->packet[i].uncertainty_ns = uncertainty_ns;
		run->packet[i].delay_ns += offset_ns;
	}
	flow_delay_add(&flow->account, run->packet, run->n);
	interval_ns = atomic_load_explicit(&d->interval_ns, memory_order_relaxed);
	if (unlikely(flow_delay_wants_report(
		    &flow->account, interval_ns ? interval_ns : FLOW_DELAY_INTERVAL_NS, w->now_ns))) {
		struct dp_report report = {
			.tunnel = run->tunnel, .flow = run->flow, .serial = view->port[run->tunnel].port->serial};

		if (flow_delay_take(&flow->account, &report.report, w->now_ns) &&
			!rte_ring_mp_enqueue_elem(w->dp->reports, &report, sizeof(report)))
			event_queue_wake(&w->dp->events);
	}
}

static void
arrive(struct worker *w, const struct view *view, uint16_t tunnel, const struct geneve_packet *p, uint64_t now_tai_ns,
	struct arrivals *run)
{
	const struct geneve_meta *meta = &p->meta;

	if (unlikely(meta->flow >= DP_MAX_PORTS))
		return;
	if (run->n && (run->tunnel != tunnel || run->flow != meta->flow)) {
		account(w, view, run);
		run->n = 0;
	}
	run->tunnel = tunnel;
	run->flow = meta->flow;
	run->packet[run->n++] = (struct flow_delay_packet){.seq = meta->seq,
		.residence_ns = meta->residence_ns,
		.deadline_ns = meta->deadline_ns,
		.delay_ns = (int64_t)(now_tai_ns - meta->time_ns + meta->residence_ns),
		.bytes = (uint32_t)p->inner_offset + p->inner_len};
}

void
overlay_housekeeping(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct overlay_delays *d = delays_of(dp, i);

		for (unsigned flow = 0; d && flow < DP_MAX_PORTS && dp->n_delays < DP_MAX_DELAYS; flow++) {
			struct overlay_flow *f;

			if (!atomic_load_explicit(&d->is_wanted[flow], memory_order_relaxed) ||
				atomic_load(&d->flow[flow]))
				continue;
			f = rte_zmalloc("flow", sizeof(*f), RTE_CACHE_LINE_SIZE);
			if (!f)
				return;
			hist_init(&f->delay);
			hist_init(&f->network);
			flow_delay_init(&f->account, &f->delay, &f->network);
			atomic_store_explicit(&d->flow[flow], f, memory_order_release);
			dp->n_delays++;
		}
	}
}

void
overlay_forget(struct dp *dp, struct overlay_delays *d)
{
	for (unsigned flow = 0; flow < DP_MAX_PORTS; flow++) {
		dp->n_delays -= d->flow[flow] != NULL;
		rte_free(d->flow[flow]);
	}
}

void
overlay_snapshot(struct worker *w, const struct view *view)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		const struct view_tunnel *t = view->port[i].tunnel;

		for (unsigned k = 0; t && view->port[t->uplink].port->owner == w->index && k < DP_MAX_PORTS; k++) {
			struct overlay_flow *flow = atomic_load_explicit(&t->delays->flow[k], memory_order_acquire);

			if (flow)
				flow->snap = flow->account.stats;
		}
	}
}

unsigned
dp_delay_list(const struct dp *dp, unsigned tunnel, uint32_t *pos, struct dp_delay *ret_delays, unsigned max)
{
	struct overlay_delays *d = delays_of(dp, tunnel);
	unsigned n = 0;

	for (; d && *pos < DP_MAX_PORTS && n < max; ++*pos) {
		const struct overlay_flow *flow = atomic_load(&d->flow[*pos]);

		if (!flow)
			continue;
		ret_delays[n] = (struct dp_delay){.flow = (uint16_t)*pos, .stats = flow->snap};
		hist_init(&ret_delays[n].delay);
		hist_init(&ret_delays[n].network);
		hist_merge(&ret_delays[n].delay, &flow->delay);
		hist_merge(&ret_delays[n].network, &flow->network);
		n++;
	}
	return n;
}

bool
dp_report_next(struct dp *dp, struct dp_report *ret_report)
{
	// One of a tunnel that is gone tells nothing of the one that has its number.
	while (!rte_ring_sc_dequeue_elem(dp->reports, ret_report, sizeof(*ret_report)))
		if (delays_of(dp, ret_report->tunnel) && dp->port[ret_report->tunnel]->serial == ret_report->serial)
			return true;
	return false;
}

static enum drop
drop_of(enum geneve_result result)
{
	static const enum drop drops[GENEVE_RESULT_COUNT] = {
		[GENEVE_OK] = DROP_TUNNEL_MALFORMED, // of more than one buffer
		[GENEVE_MALFORMED] = DROP_TUNNEL_MALFORMED,
		[GENEVE_FRAGMENT] = DROP_TUNNEL_FRAGMENT,
		[GENEVE_IP_CHECKSUM] = DROP_TUNNEL_CHECKSUM,
		[GENEVE_UDP_CHECKSUM] = DROP_TUNNEL_CHECKSUM,
		[GENEVE_VERSION] = DROP_TUNNEL_VERSION,
		[GENEVE_CONTROL] = DROP_TUNNEL_CONTROL,
		[GENEVE_PROTOCOL_TYPE] = DROP_TUNNEL_PROTOCOL,
		[GENEVE_CRITICAL] = DROP_TUNNEL_OPTION,
		[GENEVE_INNER_SHORT] = DROP_TUNNEL_MALFORMED,
	};

	return drops[result];
}

// What a router of the underlay marked is the inner packet's to tell its receiver (RFC 6040).
static bool
take_over_ecn(struct rte_mbuf *m, uint8_t outer_tos)
{
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *), ecn;
	int tos = frame_tos(data, m->data_len);

	if (!geneve_inner_ecn(outer_tos & FRAME_TOS_ECN, tos < 0 ? 0 : (uint8_t)tos & FRAME_TOS_ECN, &ecn))
		return tos < 0; // nobody to tell
	if (tos >= 0 && ecn != ((uint8_t)tos & FRAME_TOS_ECN))
		(void)frame_tos_set(data, m->data_len, ecn, FRAME_TOS_ECN);
	return true;
}

// A guest whose NIC is the uplink leaves checksums to us. False: one that cannot be.
static bool
complete(struct rte_mbuf *m)
{
	struct frame_l2 l2;

	return frame_parse_l2(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &l2) &&
		gso_take(m, &l2) == DROP_NONE && (!(m->ol_flags & RTE_MBUF_F_TX_L4_MASK) || gso_finish_checksum(m));
}

// The tunnel that m is of, m being its frame then. VIEW_NO_PORT: m is gone.
static uint16_t
decap(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf *m, uint16_t last, struct arrivals *run)
{
	const struct view_uplink *up = view->port[in].uplink;
	uint64_t now_tai_ns = clock_tai_ns(&w->dp->clock, w->now_ns);
	enum geneve_result result;
	struct geneve_packet p;
	uint16_t tunnel;

	if (unlikely((m->ol_flags & GSO_ASKED) && !complete(m))) {
		pkt_drop(&w->port[in].c, m, DROP_OFFLOAD);
		return VIEW_NO_PORT;
	}
	result = geneve_parse(
		rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, now_tai_ns, (uint16_t)w->dp->cfg.option_class, &p);
	if (result == GENEVE_NOT_OURS) {
		underlay_punt(w, view, in, m);
		return VIEW_NO_PORT;
	}
	if (unlikely((result != GENEVE_OK && result != GENEVE_CRITICAL) ||
		    m->nb_segs != 1)) { // a chain is longer than what fits an uplink
		pkt_drop(&w->port[in].c, m, drop_of(result));
		return VIEW_NO_PORT;
	}
	if (unlikely(p.is_ipv6 != up->address.is_v6 || memcmp(p.dst, up->address.addr, p.is_ipv6 ? 16 : 4) ||
		    p.vlan != view->port[in].vlan)) {
		pkt_drop(&w->port[in].c, m, DROP_NOT_OURS);
		return VIEW_NO_PORT;
	}
	tunnel = find_tunnel(view, up, &p, last);
	if (unlikely(tunnel == VIEW_NO_PORT)) {
		pkt_drop(&w->port[in].c, m, DROP_NO_TUNNEL);
		return VIEW_NO_PORT;
	}
	if (unlikely(result == GENEVE_CRITICAL &&
		    !geneve_ignore_covers(&view->tunnels[tunnel].ignore,
			    rte_pktmbuf_mtod_offset(m, const uint8_t *, p.inner_offset - p.options_len),
			    p.options_len))) {
		pkt_drop(&w->port[in].c, m, DROP_TUNNEL_OPTION);
		return VIEW_NO_PORT;
	}
	if (p.has_meta)
		arrive(w, view, tunnel, &p, now_tai_ns, run);
	m->data_off = (uint16_t)(m->data_off + p.inner_offset);
	m->data_len = p.inner_len;
	m->pkt_len = p.inner_len;
	if (unlikely((p.tos & FRAME_TOS_ECN) && !take_over_ecn(m, p.tos))) {
		pkt_drop(&w->port[tunnel].c, m, DROP_ECN);
		return VIEW_NO_PORT;
	}
	m->port = tunnel;
	return tunnel;
}

// Frames of one tunnel, as if they had come from a device of its own.
static void
forward(struct worker *w, const struct view *view, uint16_t tunnel, struct rte_mbuf **pkts, uint16_t n)
{
	struct port_counters *c = &w->port[tunnel].c;
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < n; i++)
		bytes += pkts[i]->pkt_len;
	counters_add(&c->rx_pkts, n);
	counters_add(&c->rx_bytes, bytes);
	if (unlikely(view->port[tunnel].capture))
		capture_burst(w, view->port[tunnel].capture, pkts, n, false);
	switch_burst(w, view, tunnel, pkts, n);
}

void
overlay_receive(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n)
{
	struct rte_mbuf *run[PORT_BURST];
	uint16_t tunnel = VIEW_NO_PORT, n_run = 0;
	struct arrivals arrivals;

	arrivals.n = 0;
	for (uint16_t i = 0; i < n; i++) {
		uint16_t of = decap(w, view, in, pkts[i], tunnel, &arrivals);

		if (of == VIEW_NO_PORT)
			continue;
		if (of != tunnel && n_run) {
			forward(w, view, tunnel, run, n_run);
			n_run = 0;
		}
		tunnel = of;
		run[n_run++] = pkts[i];
	}
	if (arrivals.n)
		account(w, view, &arrivals);
	if (n_run)
		forward(w, view, tunnel, run, n_run);
}
