// In the packet's own buffer. Reads frames of the underlay, which any host may have sent:
// rtvs/geneve.h checks them.
#include "decap.h"

#include "io/gso.h"
#include "punt.h"
#include "rtvs/frame.h"
#include "rtvs/frame_tos.h"
#include "tunnel_table.h"

#include <rte_ring_elem.h>

#include <string.h>

// Packets of one flow in a row, which have come.
struct arrivals {
	uint16_t tunnel, flow, n;
	struct flow_delay_packet packet[PORT_BURST];
};

static void
account(struct worker *w, const struct view *view, struct arrivals *run)
{
	struct decap_delays *d = view_port(view, run->tunnel)->tunnel->delays;
	struct decap_flow *flow = atomic_load_explicit(&d->flow[run->flow], memory_order_acquire);
	uint64_t uncertainty_ns, interval_ns;
	int64_t offset_ns;

	if (unlikely(!flow)) {
		uint64_t bit = UINT64_C(1) << run->flow % 64;
		_Atomic uint64_t *word = &d->wanted[run->flow / 64];

		if (!(atomic_load_explicit(word, memory_order_relaxed) & bit) &&
			!(atomic_fetch_or_explicit(word, bit, memory_order_relaxed) & bit))
			event_queue_wake(&w->env->events);
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
			.tunnel = run->tunnel, .flow = run->flow, .serial = view_port(view, run->tunnel)->port->serial};

		if (flow_delay_take(&flow->account, &report.report, w->now_ns) &&
			!rte_ring_mp_enqueue_elem(w->env->reports, &report, sizeof(report)))
			event_queue_wake(&w->env->events);
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
decap_snapshot(struct worker *w, const struct view *view)
{
	for (uint16_t i = 0; i < view->n_ids; i++) {
		const struct view_tunnel *t = view_port(view, i)->tunnel;
		uint32_t n;

		if (!t || view_port(view, t->uplink)->port->owner != w->index)
			continue;
		n = atomic_load_explicit(&t->delays->n_listed, memory_order_acquire);
		for (uint32_t k = 0; k < n; k++) {
			struct decap_flow *flow = t->delays->flow[t->delays->listed[k]];

			flow->snap = flow->account.stats;
		}
	}
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

// Passes a mark of the underlay's routers on to the inner packet, for its receiver (RFC 6040).
static bool
take_over_ecn(uint8_t *data, size_t n, uint8_t outer_tos)
{
	int tos = frame_tos(data, n);
	uint8_t ecn;

	if (!geneve_inner_ecn(outer_tos & FRAME_TOS_ECN, tos < 0 ? 0 : (uint8_t)tos & FRAME_TOS_ECN, &ecn))
		return tos < 0; // no receiver to tell
	if (tos >= 0 && ecn != ((uint8_t)tos & FRAME_TOS_ECN))
		(void)frame_tos_set(data, n, ecn, FRAME_TOS_ECN);
	return true;
}

// A guest whose NIC is the uplink leaves checksums to us. False: one that cannot be.
static bool
complete(struct rte_mbuf *m)
{
	struct frame_l2 l2;

	if (!frame_parse_l2(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &l2) || gso_take(m, &l2) != DROP_NONE)
		return false;
	if (pkt_asks(m))
		gso_finish_checksum(m);
	return true;
}

static bool
is_for_us(const struct view_uplink *up, const struct geneve_packet *p)
{
	return p->is_ipv6 == up->address.is_v6 && !memcmp(p->dst, up->address.addr, p->is_ipv6 ? 16 : 4);
}

// The tunnel that m is of, m being its frame then. VIEW_NO_PORT: m is gone.
static uint16_t
decap_one(
	struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf *m, uint16_t last, struct arrivals *run)
{
	const struct view_uplink *up = view_port(view, in)->uplink;
	uint64_t now_tai_ns = clock_tai_ns(&w->env->clock, w->now_ns);
	enum geneve_result result;
	struct geneve_packet p;
	uint16_t tunnel;

	if (unlikely(pkt_asks(m) && !complete(m))) {
		pkt_drop(&w->port[in].c, m, DROP_OFFLOAD);
		return VIEW_NO_PORT;
	}
	result = geneve_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, now_tai_ns, w->env->option_class, &p);
	if (result == GENEVE_NOT_OURS) {
		punt(w, view, in, m);
		return VIEW_NO_PORT;
	}
	if (unlikely((result != GENEVE_OK && result != GENEVE_CRITICAL) ||
		    m->nb_segs != 1)) { // a chain is longer than what fits an uplink
		pkt_drop(&w->port[in].c, m, drop_of(result));
		return VIEW_NO_PORT;
	}
	if (unlikely(!is_for_us(up, &p) || p.vlan != view_port(view, in)->vlan)) {
		pkt_drop(&w->port[in].c, m, DROP_NOT_OURS);
		return VIEW_NO_PORT;
	}
	tunnel = tunnel_table_find(view, up, &p, last);
	if (unlikely(tunnel == VIEW_NO_PORT)) {
		pkt_drop(&w->port[in].c, m, DROP_NO_TUNNEL);
		return VIEW_NO_PORT;
	}
	if (unlikely(result == GENEVE_CRITICAL &&
		    !geneve_ignore_covers(&view_port(view, tunnel)->tunnel->ignore,
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
	if (unlikely((p.tos & FRAME_TOS_ECN) && !take_over_ecn(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, p.tos))) {
		pkt_drop(&w->port[tunnel].c, m, DROP_ECN);
		return VIEW_NO_PORT;
	}
	m->port = tunnel;
	return tunnel;
}

uint16_t
decap(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n,
	struct decap_run runs[PORT_BURST])
{
	uint16_t tunnel = VIEW_NO_PORT, n_kept = 0, n_runs = 0;
	struct arrivals arrivals;

	arrivals.n = 0;
	for (uint16_t i = 0; i < n; i++) {
		uint16_t of = decap_one(w, view, in, pkts[i], tunnel, &arrivals);

		if (of == VIEW_NO_PORT)
			continue;
		if (!n_runs || of != tunnel)
			runs[n_runs++] = (struct decap_run){.tunnel = of, .first = n_kept};
		tunnel = of;
		pkts[n_kept++] = pkts[i];
		runs[n_runs - 1].n++;
	}
	if (arrivals.n)
		account(w, view, &arrivals);
	return n_runs;
}

// The tunnel of a frame that has nothing to be dropped for, or VIEW_NO_PORT.
static uint16_t
parse_frame(const struct worker *w, const struct view *view, uint16_t in, const struct guest_frame *f,
	uint64_t now_tai_ns, uint16_t last, struct geneve_packet *p)
{
	const struct view_uplink *up = view_port(view, in)->uplink;

	if (unlikely((f->hdr.flags | f->hdr.gso_type) || f->n_bytes > UINT16_MAX ||
		    (f->n_pieces && !geneve_is_in_head(f->head, f->n_head))))
		return VIEW_NO_PORT;
	if (unlikely(geneve_parse(f->head, f->n_bytes, now_tai_ns, w->env->option_class, p) != GENEVE_OK))
		return VIEW_NO_PORT;
	// Padding behind the head would have to be cut off its pieces.
	if (unlikely(f->n_pieces && (uint32_t)p->inner_offset + p->inner_len != f->n_bytes))
		return VIEW_NO_PORT;
	if (unlikely(!is_for_us(up, p) || p->vlan != view_port(view, in)->vlan))
		return VIEW_NO_PORT;
	return tunnel_table_find(view, up, p, last);
}

static void
cut_frame(struct guest_frame *f, const struct geneve_packet *p)
{
	f->head += p->inner_offset;
	f->n_head = f->n_pieces ? (uint16_t)(f->n_head - p->inner_offset) : p->inner_len;
	f->n_bytes = p->inner_len;
}

uint16_t
decap_frames(struct worker *w, const struct view *view, uint16_t in, struct guest_frame *frame, uint16_t n,
	uint16_t *ret_tunnel, uint64_t *ret_bytes)
{
	uint64_t now_tai_ns = clock_tai_ns(&w->env->clock, w->now_ns), bytes = 0;
	uint16_t tunnel = VIEW_NO_PORT, k = 0;
	struct arrivals arrivals;

	arrivals.n = 0;
	for (; k < n; k++) {
		struct guest_frame *f = &frame[k];
		struct geneve_packet p;
		uint16_t of = parse_frame(w, view, in, f, now_tai_ns, tunnel, &p);

		if (unlikely(of == VIEW_NO_PORT || (k && of != tunnel)))
			break;
		// The inner packet's own bytes, in the head: they are the frame's from here on.
		if (unlikely((p.tos & FRAME_TOS_ECN) &&
			    !take_over_ecn(f->head + p.inner_offset,
				    f->n_pieces ? (size_t)(f->n_head - p.inner_offset) : p.inner_len, p.tos)))
			break;
		tunnel = of;
		if (p.has_meta)
			arrive(w, view, of, &p, now_tai_ns, &arrivals);
		bytes += f->n_bytes;
		cut_frame(f, &p);
	}
	if (arrivals.n)
		account(w, view, &arrivals);
	*ret_tunnel = tunnel;
	*ret_bytes = bytes;
	return k;
}
