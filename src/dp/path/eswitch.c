// The way of a packet in an eswitch: guard and the host's rules of its VF, the guest's rules, and
// out of a VF, the uplink, or the PF with the tag of a representor. The uplink is a port of a
// bridge: what leaves there comes into that bridge as from a device.
// Invariant: a packet is given to egress_put or switch_burst, or dropped with a reason. What came
// from a bridge does not leave by one, so eswitch_serve stages nothing for another eswitch.
#include "eswitch.h"

#include "capture.h"
#include "egress.h"
#include "io/gso.h"
#include "rtvs/frame.h"
#include "rtvs/guard.h"
#include "rules.h"
#include "switch.h"

#define TCI_PCP_SHIFT 13

static void
count(uint64_t *packets, uint64_t *bytes, const struct rte_mbuf *m)
{
	counters_add(packets, 1);
	counters_add(bytes, m->pkt_len);
}

static bool
may_leave(const struct view_eswitch *eswitch, const struct rte_mbuf *m)
{
	uint64_t src = frame_load_mac(rte_pktmbuf_mtod(m, const uint8_t *) + RTE_ETHER_ADDR_LEN);

	for (unsigned i = 0; i < eswitch->n_macs; i++)
		if ((src & eswitch->macs[i].mask) == eswitch->macs[i].value)
			return true;
	return !eswitch->n_macs;
}

// A capture reads all of the packet. The bridge writes into the headers of one that asks, which
// others may share.
static enum drop
to_uplink(struct worker *w, const struct view *view, const struct view_eswitch *eswitch, struct rte_mbuf *m)
{
	struct port_counters *c = &w->port[eswitch->uplink].c;
	const struct view_port *vp = view_port(view, eswitch->uplink);

	count(&c->rx_pkts, &c->rx_bytes, m);
	if (!may_leave(eswitch, m)) {
		pkt_drop(c, m, DROP_SPOOF_MAC);
		return DROP_NONE;
	}
	if (vp->capture)
		m = pkt_keep(w->pool, m);
	if (m && pkt_asks(m))
		m = pkt_room(w->pool, m, 0);
	if (!m) {
		counters_add(&c->drops[DROP_NO_BUFFER], 1);
		return DROP_NONE;
	}
	if (vp->capture)
		capture_burst(w, vp->capture, &m, 1, false);
	switch_burst(w, view, eswitch->uplink, &m, 1);
	return DROP_NONE;
}

// `out` is a port of the eswitch.
static void
put(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf *m)
{
	struct egress_pkt pkt = {.m = m, .is_raw = true};

	egress_mirror(w, view, view_port(view, out), DP_MIRROR_TX, &pkt);
	egress_put(w, view, out, pkt);
}

// To the guest's kernel. NULL of *inout_m: it is gone.
static enum drop
to_representor(
	struct worker *w, const struct view *view, const struct view_port *of, unsigned pcp, struct rte_mbuf **inout_m)
{
	*inout_m = shape_push_tag(w, *inout_m, (uint16_t)(of->vid | pcp << TCI_PCP_SHIFT));
	if (!*inout_m)
		return DROP_NO_BUFFER;
	put(w, view, of->eswitch->pf, *inout_m);
	return DROP_NONE;
}

static enum drop
deliver(struct worker *w, const struct view *view, const struct view_port *in, uint16_t out, struct rte_mbuf *m)
{
	const struct view_port *vp = view_port(view, out);

	if (vp == in)
		return DROP_SAME_PORT;
	if (vp->eswitch != in->eswitch || !vp->vid)
		return DROP_NO_TARGET;
	if (out == in->eswitch->uplink)
		return to_uplink(w, view, in->eswitch, m);
	put(w, view, out, m);
	return DROP_NONE;
}

static enum drop
output(struct worker *w, const struct view *view, const struct view_port *in, const struct flow_action *action,
	struct rte_mbuf *m)
{
	uint16_t id = in->port->id;
	unsigned last = action->n_outputs - 1u;

	for (unsigned i = 0; i < last; i++) {
		struct rte_mbuf *copy = egress_replicate(w, id, m);
		enum drop drop = copy ? deliver(w, view, in, action->output[i], copy) : DROP_NONE;

		if (drop != DROP_NONE)
			pkt_drop(&w->port[id].c, copy, drop);
	}
	return deliver(w, view, in, action->output[last], m);
}

// Of what a rule handles, the guest's kernel sees one packet now and then.
static void
show(struct worker *w, const struct view *view, const struct view_port *in, struct rule *rule, struct rte_mbuf *m)
{
	struct rule_count *count = &rule->count[w->index];
	struct rte_mbuf *copy;

	if (count->copied_ns && w->now_ns - count->copied_ns < DP_ESWITCH_COPY_NS)
		return;
	count->copied_ns = w->now_ns;
	copy = egress_replicate(w, in->port->id, m);
	if (copy && to_representor(w, view, in, DP_ESWITCH_COPY_PCP, &copy) != DROP_NONE)
		counters_add(&w->port[in->port->id].c.drops[DROP_NO_BUFFER], 1);
}

// A packet that is dropped is *inout_m, or gone if that is NULL.
static enum drop
judge(struct worker *w, const struct view *view, const struct view_port *in, struct rte_mbuf **inout_m)
{
	struct rule *rule = NULL;
	enum drop drop = in->guest_rules ? rules_find(w, in->guest_rules, inout_m, &rule) : DROP_NONE;
	bool is_handled = rule && rule->entry.action.verdict != FLOW_ALLOW;

	if (is_handled)
		show(w, view, in, rule, *inout_m);
	if (drop == DROP_NONE && rule)
		drop = rules_act(w, rule, inout_m);
	if (drop != DROP_NONE)
		return drop;
	if (is_handled)
		return output(w, view, in, &rule->entry.action, *inout_m);
	if (in->eswitch->miss.rate && !rate_limit_take(&in->eswitch->miss, &in->port->paid.miss, 1, w->now_ns))
		return DROP_MISS_LIMIT;
	return to_representor(w, view, in, 0, inout_m);
}

static enum drop
host_rules(struct worker *w, const struct view_port *in, struct rte_mbuf **inout_m)
{
	struct rule *rule;
	enum drop drop = rules_find(w, in->rules, inout_m, &rule);

	return drop == DROP_NONE && rule ? rules_act(w, rule, inout_m) : drop;
}

static enum drop
from_vf(struct worker *w, const struct view *view, const struct view_port *in, struct rte_mbuf **inout_m)
{
	struct rte_mbuf *m = *inout_m;
	struct egress_pkt seen = {.m = m, .is_raw = true};
	enum drop drop = DROP_NONE;
	struct frame_l2 l2;

	if (!frame_parse_l2(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &l2) || (l2.src & FRAME_MAC_MULTICAST) ||
		!l2.src)
		return DROP_MALFORMED;
	if (pkt_asks(m))
		drop = gso_take(m, &l2);
	if (drop == DROP_NONE && guard_is_active(&in->guard))
		drop = guard_check(&in->guard, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len, &l2);
	if (drop != DROP_NONE)
		return drop;
	egress_mirror(w, view, in, DP_MIRROR_RX, &seen);
	if (in->rules)
		drop = host_rules(w, in, inout_m);
	return drop == DROP_NONE ? judge(w, view, in, inout_m) : drop;
}

static bool
is_of_representor(const struct view_eswitch *eswitch, const struct frame_l2 *l2)
{
	return l2->is_tagged && l2->vlan >= DP_ESWITCH_VID && l2->vlan <= DP_ESWITCH_VID + eswitch->n_vfs;
}

// The guest's kernel sends to a VF, or the uplink.
static enum drop
from_representor(struct worker *w, const struct view *view, const struct view_eswitch *eswitch,
	const struct frame_l2 *l2, struct rte_mbuf **inout_m)
{
	unsigned n = l2->vlan - DP_ESWITCH_VID;
	enum drop drop = pkt_asks(*inout_m) ? gso_take(*inout_m, l2) : DROP_NONE;

	if (drop != DROP_NONE)
		return drop;
	if (rte_pktmbuf_mtod(*inout_m, const uint8_t *)[2 * RTE_ETHER_ADDR_LEN + 2] >> (TCI_PCP_SHIFT - 8) ==
		DP_ESWITCH_COPY_PCP)
		return DROP_COPY;
	*inout_m = shape_pop_tag(w, *inout_m);
	if (!*inout_m)
		return DROP_NO_BUFFER;
	if (!n)
		return to_uplink(w, view, eswitch, *inout_m);
	put(w, view, eswitch->vf[n - 1], *inout_m);
	return DROP_NONE;
}

// False: it is for the PF's bridge.
static bool
take_from_pf(struct worker *w, const struct view *view, const struct view_port *in, struct rte_mbuf *m)
{
	struct frame_l2 l2;
	enum drop drop = DROP_PORT_DOWN;

	if (!frame_parse_l2(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &l2) ||
		!is_of_representor(in->eswitch, &l2))
		return false;
	if (in->is_admin_up)
		drop = from_representor(w, view, in->eswitch, &l2, &m);
	if (drop != DROP_NONE)
		pkt_drop(&w->port[in->port->id].c, m, drop);
	return true;
}

static enum drop
refuses_all(const struct view_port *in)
{
	if (!in->is_admin_up)
		return DROP_PORT_DOWN;
	return in->is_mirror_target ? DROP_MIRROR_PORT : DROP_NONE;
}

uint16_t
eswitch_take(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n)
{
	const struct view_port *vp = view_port(view, in);
	enum drop refused = refuses_all(vp);
	uint16_t n_left = 0;

	for (uint16_t i = 0; i < n; i++) {
		enum drop drop = refused;

		if (!vp->vid) {
			if (!take_from_pf(w, view, vp, pkts[i]))
				pkts[n_left++] = pkts[i];
			continue;
		}
		if (drop == DROP_NONE)
			drop = from_vf(w, view, vp, &pkts[i]);
		if (drop != DROP_NONE)
			pkt_drop(&w->port[in].c, pkts[i], drop);
	}
	return n_left;
}

void
eswitch_serve(struct worker *w, const struct view *view)
{
	for (uint16_t i = 0; i < w->n_uplinks; i++) {
		const struct view_port *vp = view_port(view, w->uplink[i]);
		struct worker_port *wp = &w->port[w->uplink[i]];

		if (vp->capture)
			capture_burst(w, vp->capture, wp->tx.pkts, wp->tx.n, true);
		for (uint16_t k = 0; k < wp->tx.n; k++) {
			struct rte_mbuf *m = wp->tx.pkts[k];
			enum drop drop;

			count(&wp->c.tx_pkts, &wp->c.tx_bytes, m);
			drop = judge(w, view, vp, &m);
			if (drop != DROP_NONE)
				pkt_drop(&wp->c, m, drop);
		}
		wp->tx.n = 0;
	}
	w->n_uplinks = 0;
}
