// How a packet leaves: VLAN tag, MTU, DSCP, offloads that the far side does not take, then staging.
// The worker that owns the port transmits when the ingress port has been polled (cut-through);
// other workers hand their stage over then, through the port's ring. A port with a schedule gets
// them through it (schedule.c).
// Invariant: a packet given to egress_put is staged, in a ring, or counted as dropped on the egress
// port.
#include "egress.h"

#include "capture.h"
#include "encap.h"
#include "io/guest_io.h"
#include "pace.h"
#include "parts.h"
#include "rtvs/frame.h"
#include "schedule.h"
#include "too_big.h"
#include "trace.h"
#include "transmit.h"

#define TAG_BYTES 4

// Without a schedule: what the port does not take is dropped.
static void
transmit_staged(struct worker *w, const struct view *view, uint16_t out)
{
	struct worker_tx *tx = &w->port[out].tx;

	if (unlikely(view_port(view, out)->capture))
		capture_burst(w, view_port(view, out)->capture, tx->pkts, tx->n, true);
	for (uint16_t i = 0, run; i < tx->n; i = (uint16_t)(i + run)) {
		uint16_t gone = transmit_run(w, view, out, &tx->pkts[i], (uint16_t)(tx->n - i), &run);

		for (uint16_t k = gone; k < run; k++)
			pkt_drop(&w->port[out].c, tx->pkts[i + k], DROP_TX_FULL);
	}
	tx->n = 0;
}

// To the worker that owns the port: one operation on the port's ring, and at most one wake-up.
static void
hand_over(struct worker *w, const struct view *view, uint16_t out)
{
	struct port_path *port = view_port(view, out)->port;
	struct worker_tx *tx = &w->port[out].tx;
	unsigned n = mailbox_put_burst(&port->handoff, tx->pkts, tx->n);

	counters_add(&w->port[out].c.queued_in, n);
	for (; unlikely(n < tx->n); n++)
		pkt_drop(&w->port[out].c, tx->pkts[n], DROP_HANDOFF_FULL);
	tx->n = 0;
	// An owner that is awake delivers the packet sooner than it could learn whether the guest
	// sleeps.
	if (unlikely(view_port(view, out)->prewake) && !view_port(view, out)->link_rate &&
		waker_is_asleep(w->env->waker[port->owner]))
		trace_prewake(w, view, out, w->now_ns);
	env_call_owner(w->env, port);
}

static void
leave(struct worker *w, const struct view *view, uint16_t out)
{
	const struct view_port *vp = view_port(view, out);

	if (vp->port->owner != w->index) {
		hand_over(w, view, out);
		return;
	}
	if (unlikely(vp->trace))
		trace_queued(w, view, out, w->port[out].tx.pkts, w->port[out].tx.n);
	transmit_steer(view, out, w->port[out].tx.pkts, w->port[out].tx.n);
	if (vp->schedule)
		schedule_put(w, view, out);
	else
		transmit_staged(w, view, out);
}

// All packets come through here, those of the daemon itself and mirrored ones, too.
static void
stage(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m)
{
	struct worker_tx *tx = &w->port[out].tx;

	// The shortest frame of a network: not all devices pad it, and none may send former bytes
	// of the buffer.
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
	// A port flushed in the middle of a burst stays on the list: egress_flush takes empty
	// stages, too.
}

static bool
is_ready(const struct view_port *vp)
{
	return atomic_load_explicit(&vp->port->device.is_up, memory_order_relaxed) && vp->is_admin_up;
}

// Bytes of the longest frame with a tunnel's headers.
static uint32_t
uplink_max(const struct view_port *up)
{
	return up->frame_max + (up->vlan ? TAG_BYTES : 0);
}

// The bytes of a borrowed packet go from one guest to another in this turn: by this worker, which
// keeps and reads no more of it than the headers. What then cannot leave at once, and is not
// dropped, is copied (schedule.c).
static bool
takes_borrowed(const struct worker *w, const struct view_port *vp)
{
	const struct port_io *io = vp->port->device.io;

	return io && io->takes_borrowed && vp->port->owner == w->index && !vp->capture;
}

// Through an uplink that is a guest's device, frames that are no packets have nothing to wait for.
static struct egress_way
tunnel_way(const struct worker *w, const struct view *view, const struct view_port *vp)
{
	const struct view_tunnel *t = vp->tunnel;
	const struct view_port *up = view_port(view, t->uplink);

	if (!t->is_resolved || t->headers.has_csum || vp->capture || vp->trace || !is_ready(up) || up->schedule ||
		up->trace || up->port->device.io != &guest_io_ops || !takes_borrowed(w, up))
		return (struct egress_way){.tx = NULL};
	return (struct egress_way){.frame_max = RTE_MIN(vp->frame_max, uplink_max(up) - t->headers.len),
		.device = &up->port->device,
		.staged = &w->port[t->uplink].tx,
		.tunnel = t};
}

struct egress_way
egress_way(struct worker *w, const struct view *view, uint16_t out, uint16_t vlan)
{
	const struct view_port *vp = view_port(view, out);

	if (!is_ready(vp) || vp->is_mirror_target || vp->eswitch || vlan != vp->vlan || !vp->takes_untagged)
		return (struct egress_way){.tx = NULL};
	if (vp->tunnel)
		return tunnel_way(w, view, vp);
	if (vp->writes_dscp)
		return (struct egress_way){.tx = NULL};
	return (struct egress_way){.tx = &w->port[out].tx,
		.frame_max = vp->frame_max,
		.is_timed = vp->schedule || vp->trace,
		.takes_borrowed = takes_borrowed(w, vp),
		.device = vp->port->device.io == &guest_io_ops && takes_borrowed(w, vp) && !vp->trace ?
			&vp->port->device :
			NULL,
		.staged = &w->port[out].tx};
}

// More than a burst makes for one port are not kept: what is staged there cannot leave yet.
static void
put_for_eswitch(struct worker *w, uint16_t uplink, struct rte_mbuf *m)
{
	struct worker_tx *tx = &w->port[uplink].tx;

	if (unlikely(tx->n == RTE_DIM(tx->pkts))) {
		pkt_drop(&w->port[uplink].c, m, DROP_TX_FULL);
		return;
	}
	if (!tx->n)
		w->uplink[w->n_uplinks++] = uplink;
	tx->pkts[tx->n++] = m;
}

// A tunnel's packets go on to its uplink, and those for an eswitch to where its rules say.
static void
encap_and_stage(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m)
{
	const struct view_port *vp = view_port(view, out);

	if (vp->tunnel) {
		enum drop drop = encap(w, view, out, &m);

		if (unlikely(drop != DROP_NONE)) {
			pkt_drop(&w->port[out].c, m, drop);
			return;
		}
		out = vp->tunnel->uplink;
		vp = view_port(view, out);
		if (unlikely(!is_ready(vp))) {
			pkt_drop(&w->port[out].c, m, DROP_LINK_DOWN);
			return;
		}
		if (unlikely(m->pkt_len > uplink_max(vp))) {
			pkt_drop(&w->port[out].c, m, DROP_MTU);
			return;
		}
	} else if (vp->eswitch && vp->eswitch->uplink == out) {
		put_for_eswitch(w, out, m);
		return;
	} else if (vp->schedule || vp->trace) {
		pkt_item(m)->arrival_ns = w->now_ns;
	}
	stage(w, view, out, m);
}

// The result for m: n parts, or a reason to drop it, if it still exists.
static void
put_parts(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m, enum drop drop,
	struct rte_mbuf **part, unsigned n)
{
	if (unlikely(drop != DROP_NONE)) {
		pkt_drop(&w->port[out].c, m, drop);
		return;
	}
	counters_add(&w->port[out].c.replicated, n - 1);
	for (unsigned i = 0; i < n; i++)
		encap_and_stage(w, view, out, part[i]);
}

// A packet that is longer than the limit of tunnel `out`: it leaves in parts, or its sender is told
// why it does not.
static void
put_too_long(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt pkt)
{
	uint32_t l3_offset, mtu = shape_mtu(view_port(view, out), pkt.m, &l3_offset);
	struct rte_mbuf *part[PARTS_MAX];
	struct egress_pkt answer = pkt;
	unsigned n = 0;
	enum drop drop = parts_fit(w->pool, &pkt.m, mtu, part, &n);

	if (drop == DROP_MTU && (answer.m = too_big(w, view, out, pkt.m, mtu))) {
		counters_add(&w->port[out].c.replicated, 1);
		egress_put(w, view, pkt.m->port, answer);
	}
	put_parts(w, view, out, pkt.m, drop, part, n);
}

static void
put_in_software(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m, uint32_t caps)
{
	struct rte_mbuf *part[PARTS_MAX];
	unsigned n = 0;
	enum drop drop = parts_make(w->pool, &m, caps, part, &n);

	put_parts(w, view, out, m, drop, part, n);
}

void
egress_put(struct worker *w, const struct view *view, uint16_t out, struct egress_pkt pkt)
{
	const struct view_port *vp = view_port(view, out);
	uint32_t caps;
	enum drop drop;

	if (unlikely(!is_ready(vp))) {
		pkt_drop(&w->port[out].c, pkt.m, DROP_LINK_DOWN);
		return;
	}
	if (pkt_is_borrowed(pkt.m) && !takes_borrowed(w, vp)) {
		pkt.m = pkt_keep(w->pool, pkt.m);
		if (unlikely(!pkt.m)) {
			counters_add(&w->port[out].c.drops[DROP_NO_BUFFER], 1);
			return;
		}
	}
	if (!vp->is_mirror_target) { // which gets frames as they were seen
		drop = shape(w, view, vp, &pkt);
		if (unlikely(drop != DROP_NONE)) {
			if (drop == DROP_MTU && vp->tunnel)
				put_too_long(w, view, out, pkt);
			else
				pkt_drop(&w->port[out].c, pkt.m, drop);
			return;
		}
	}
	caps = atomic_load_explicit(&vp->port->device.caps, memory_order_relaxed);
	// A super-frame would hold up the link for as long as dozens of packets, and its flow's
	// bucket would not hold it.
	if (vp->schedule && (vp->link_rate || view_port(view, pkt.m->port)->sender.min_rate))
		caps &= ~(uint32_t)(PORT_CAP_TSO4 | PORT_CAP_TSO6);
	if (unlikely(pkt_asks(pkt.m) || pkt.m->nb_segs > 1) && caps != PORT_CAP_ALL) {
		put_in_software(w, view, out, pkt.m, caps);
		return;
	}
	encap_and_stage(w, view, out, pkt.m);
}

struct rte_mbuf *
egress_replicate(struct worker *w, uint16_t counted_on, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = pkt_clone(w->pool, m);

	counters_add(&w->port[counted_on].c.replicated, 1);
	if (!copy)
		counters_add(&w->port[counted_on].c.drops[DROP_NO_BUFFER], 1);
	return copy;
}

void
egress_mirror(struct worker *w, const struct view *view, const struct view_port *of, uint8_t dir,
	const struct egress_pkt *pkt)
{
	struct egress_pkt copy = *pkt;

	if (likely(!(of->mirror & dir)))
		return;
	copy.m = egress_replicate(w, of->port->id, pkt->m);
	if (copy.m)
		egress_put(w, view, of->mirror_to, copy);
}

void
egress_flush(struct worker *w, const struct view *view)
{
	for (uint16_t i = 0; i < w->n_dirty; i++)
		if (w->port[w->dirty[i]].tx.n)
			leave(w, view, w->dirty[i]);
	w->n_dirty = 0;
}

// Packets of the control thread. No port received them: they count as made here.
static unsigned
inject(struct worker *w, const struct view *view, uint16_t out)
{
	struct rte_mbuf *pkts[PORT_BURST];
	unsigned n = mailbox_take(&view_port(view, out)->port->inject, pkts, PORT_BURST);

	counters_add(&w->port[out].c.replicated, n);
	for (unsigned i = 0; i < n; i++) {
		pkt_item(pkts[i])->arrival_ns = w->now_ns;
		if (is_ready(view_port(view, out)))
			stage(w, view, out, pkts[i]);
		else
			pkt_drop(&w->port[out].c, pkts[i], DROP_LINK_DOWN);
	}
	return n;
}

static unsigned
drain(struct worker *w, const struct view *view, uint16_t out)
{
	struct port_path *port = view_port(view, out)->port;
	struct rte_mbuf *pkts[PORT_BURST];
	unsigned n, n_injected = 0;

	if (unlikely(!port)) // gone, or not in this view yet: egress_apply
		return 0;
	if (mailbox_is(&port->inject))
		n_injected = inject(w, view, out);
	n = mailbox_take(&port->handoff, pkts, PORT_BURST);
	counters_add(&w->port[out].c.queued_out, n);
	for (unsigned i = 0; i < n; i++) {
		pace_work(w, 1, pkts[i]->pkt_len);
		stage(w, view, out, pkts[i]);
	}
	if (n == PORT_BURST || n_injected == PORT_BURST) // there may be more, for the next turn
		mailbox_set_mark(&w->env->due[w->index], out);
	return n_injected + n;
}

unsigned
egress_drain(struct worker *w, const struct view *view)
{
	struct mailbox_set *due = &w->env->due[w->index];
	unsigned sum = 0;

	for (uint64_t words = mailbox_set_words(due); words; words &= words - 1) {
		unsigned word = (unsigned)__builtin_ctzll(words);

		for (uint64_t bits = mailbox_set_take(due, word); bits; bits &= bits - 1)
			sum += drain(w, view, (uint16_t)(word * 64 + (unsigned)__builtin_ctzll(bits)));
	}
	if (w->n_dirty)
		egress_flush(w, view);
	return sum;
}

void
egress_apply(struct worker *w, const struct view *view)
{
	const struct view_worker *mine = view->worker[w->index];

	for (uint16_t i = 0; i < mine->n_owned; i++)
		mailbox_set_mark(&w->env->due[w->index], mine->owned[i]);
}
