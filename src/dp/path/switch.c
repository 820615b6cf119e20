// Where a packet goes: VLAN, spoof guard, learning, lookup, flood. Handles one burst of one ingress
// port at a time, which is why the last source and destination are remembered: most bursts have one
// of each. Every packet is passed to egress_put or dropped with a reason, nothing else. Complexity:
// two cache lines of the MAC table a new key.
#include "switch.h"

#include "egress.h"
#include "io/gso.h"
#include "rtvs/frame.h"
#include "rules.h"
#include "worker.h"

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <string.h>

#define RESERVED_GROUP UINT64_C(0x0180c2000000) // IEEE 802.1Q, table 8-1: the last four bits differ
#define PAUSE_GROUP UINT64_C(0x0180c2000001) // IEEE 802.3, annex 31B: of one link

// The VLAN of the frame on this port. False: the port does not take it.
static bool
classify_vlan(const struct view_port *in, const struct frame_l2 *l2, uint16_t *ret_vlan)
{
	if (!l2->vlan) { // untagged or a priority tag, which may not hide another VLAN's tag
		*ret_vlan = in->vlan;
		return in->takes_untagged && !(l2->is_tagged && l2->ether_type == FRAME_ETHER_VLAN);
	}
	*ret_vlan = l2->vlan;
	return in->is_trunk && l2->vlan <= RTVS_VLAN_MAX && (in->carries_all || vlan_set_has(&in->trunk, l2->vlan));
}

static enum drop
learn(struct switch_burst *b, const struct frame_l2 *l2, uint16_t vlan)
{
	struct port_path *port = b->in->port;
	int64_t n = atomic_load_explicit(&port->n_macs, memory_order_relaxed);
	bool may_learn = n < b->in->mac_limit, is_bound = b->view->bridge[b->in->bridge->id]->bound_mask;
	struct mac_table *macs = &b->in->bridge->macs;
	enum mac_learn result;
	uint16_t old;

	// The owner of the MAC is looked up only for one that is not known here.
	result = mac_table_learn(macs, l2->src, vlan, b->in_id, may_learn && !is_bound, &old, b->w->now_s);
	if (result == MAC_REFUSED && may_learn) {
		if (view_is_bound_elsewhere(b->view, b->in_id, l2->src, vlan))
			return DROP_MAC_STATIC;
		result = mac_table_learn(macs, l2->src, vlan, b->in_id, true, &old, b->w->now_s);
	}
	switch (result) {
	case MAC_KNOWN:
		return DROP_NONE;
	case MAC_MOVED:
		atomic_fetch_add_explicit(&b->in->bridge->n_moves, 1, memory_order_relaxed);
		if (view_port(b->view, old)->port)
			atomic_fetch_sub_explicit(&view_port(b->view, old)->port->n_macs, 1, memory_order_relaxed);
		// fallthrough
	case MAC_LEARNED:
		n = atomic_fetch_add_explicit(&port->n_macs, 1, memory_order_relaxed) + 1;
		if (n == b->in->mac_limit)
			event_queue_post(&b->w->env->events,
				(struct dp_event){.type = DP_EVENT_MAC_LIMIT, .port = b->in_id, .value = (uint64_t)n});
		return DROP_NONE;
	case MAC_STATIC_ELSEWHERE:
		return DROP_MAC_STATIC;
	case MAC_REFUSED:
		return DROP_MAC_LIMIT;
	case MAC_FULL: // the packet goes on, answers to it will be flooded
		if (!atomic_fetch_add_explicit(&b->in->bridge->full_events, 1, memory_order_relaxed))
			event_queue_post(&b->w->env->events,
				(struct dp_event){.type = DP_EVENT_MAC_LIMIT,
					.port = DP_MAX_PORTS,
					.value = b->in->bridge->macs.limit});
		return DROP_NONE;
	}
	return DROP_NONE;
}

static bool
may_flood(struct switch_burst *b)
{
	return !b->in->flood.rate || rate_limit_take(&b->in->flood, &b->in->port->paid.flood, 1, b->w->now_ns);
}

static void
forward(struct switch_burst *b, uint16_t out, const struct view_port *vp, struct egress_pkt pkt)
{
	egress_mirror(b->w, b->view, vp, DP_MIRROR_TX, &pkt);
	egress_put(b->w, b->view, out, pkt);
}

// is_reserved: only to ports that forward such frames.
static enum drop
flood(struct switch_burst *b, struct egress_pkt pkt, bool is_reserved)
{
	const struct view_bridge *bridge = b->view->bridge[b->in->bridge->id];
	uint16_t last = VIEW_NO_PORT;

	if (!may_flood(b))
		return DROP_FLOOD_LIMIT;
	for (uint16_t i = 0; i < bridge->n_members; i++) {
		uint16_t out = bridge->members[i];
		const struct view_port *vp = view_port(b->view, out);
		struct rte_mbuf *copy;

		if (out == b->in_id || (b->in->is_isolated && vp->is_isolated) || !vp->is_admin_up ||
			(b->in->tunnel && vp->tunnel) || (is_reserved && !vp->forwards_reserved) ||
			!view_carries(vp, pkt.vlan) ||
			!atomic_load_explicit(&vp->port->device.is_up, memory_order_relaxed))
			continue;
		if (last != VIEW_NO_PORT) {
			// The rest is shared, so the one that may be borrowed leaves first.
			copy = egress_replicate(b->w, b->in_id, pkt.m);
			if (copy) {
				forward(b, last, view_port(b->view, last), pkt);
				pkt.m = copy;
			}
		}
		last = out;
	}
	if (last == VIEW_NO_PORT)
		return DROP_NO_TARGET;
	forward(b, last, view_port(b->view, last), pkt);
	return DROP_NONE;
}

static enum drop
may_leave(const struct switch_burst *b, uint16_t out, const struct view_port *vp)
{
	if (out == b->in_id)
		return DROP_SAME_PORT;
	// A packet from one tunnel does not leave by another: each host sends to all by itself.
	if ((b->in->is_isolated && vp->is_isolated) || (b->in->tunnel && vp->tunnel))
		return DROP_ISOLATED;
	return DROP_NONE;
}

static struct egress_way
find_way(const struct switch_burst *b, uint16_t out, uint16_t vlan)
{
	const struct view_port *vp = out == MAC_TABLE_NO_PORT ? &view_no_port : view_port(b->view, out);

	if (vp->bridge != b->in->bridge || may_leave(b, out, vp) != DROP_NONE || (b->in->mirror & DP_MIRROR_RX) ||
		(vp->mirror & DP_MIRROR_TX))
		return (struct egress_way){.tx = NULL};
	return egress_way(b->w, b->view, out, vlan);
}

static uint16_t
lookup(struct switch_burst *b, uint64_t dst, uint16_t vlan)
{
	uint64_t key = dst << 16 | vlan;

	if (key != b->dst_key) {
		b->dst_port = mac_table_find(&b->in->bridge->macs, dst, vlan);
		b->dst_key = key;
		b->way = find_way(b, b->dst_port, vlan);
	}
	return b->dst_port;
}

static enum drop
unicast(struct switch_burst *b, uint16_t out, const struct view_port *vp, struct egress_pkt pkt)
{
	enum drop drop = may_leave(b, out, vp);

	if (likely(drop == DROP_NONE))
		forward(b, out, vp, pkt);
	return drop;
}

static bool
is_reserved(uint64_t dst)
{
	return (dst & ~UINT64_C(0xf)) == RESERVED_GROUP;
}

static enum drop
classify(const struct switch_burst *b, struct rte_mbuf *m, struct frame_l2 *ret_l2, struct egress_pkt *ret_pkt)
{
	if (unlikely(!frame_parse_l2(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, ret_l2) ||
		    (ret_l2->src & FRAME_MAC_MULTICAST) || !ret_l2->src))
		return DROP_MALFORMED;
	*ret_pkt = (struct egress_pkt){
		.m = m, .is_tagged = ret_l2->is_tagged, .is_priority = ret_l2->is_tagged && !ret_l2->vlan};
	if (unlikely(!classify_vlan(b->in, ret_l2, &ret_pkt->vlan)))
		return DROP_VLAN_INGRESS;
	if (unlikely(is_reserved(ret_l2->dst)) && (!b->in->forwards_reserved || ret_l2->dst == PAUSE_GROUP))
		return DROP_RESERVED_MAC;
	return DROP_NONE;
}

// After the guard, which judges what the sender sent.
static __rte_noinline enum drop
apply_rules(struct switch_burst *b, struct rte_mbuf **inout_m, struct frame_l2 *l2, struct egress_pkt *pkt,
	const struct rule **ret_rule)
{
	struct rule *rule;
	enum drop drop = rules_find(b->w, b->in->rules, inout_m, &rule);

	*ret_rule = rule;
	if (drop == DROP_NONE && rule && !rule->is_plain)
		drop = rules_act(b->w, rule, inout_m);
	pkt->m = *inout_m;
	return drop == DROP_NONE && rule && rule->changes ? classify(b, *inout_m, l2, pkt) : drop;
}

// To the ports that a rule names, if they are on this bridge.
static __rte_noinline enum drop
output(struct switch_burst *b, const struct flow_action *action, struct egress_pkt pkt)
{
	struct port_counters *c = &b->w->port[b->in_id].c;

	for (unsigned i = 0; i < action->n_outputs; i++) {
		const struct view_port *vp = view_port(b->view, action->output[i]);
		bool is_last = i + 1u == action->n_outputs;
		struct egress_pkt copy = pkt;
		enum drop drop;

		if (!is_last)
			copy.m = egress_replicate(b->w, b->in_id, pkt.m);
		if (!copy.m)
			continue;
		drop = vp->bridge == b->in->bridge ? unicast(b, action->output[i], vp, copy) : DROP_NO_TARGET;
		if (drop != DROP_NONE && is_last)
			return drop;
		if (drop != DROP_NONE)
			pkt_drop(c, copy.m, drop);
	}
	return DROP_NONE;
}

// A packet that is dropped is *inout_m, or gone if that is NULL.
static enum drop
switch_one(struct switch_burst *b, struct rte_mbuf **inout_m)
{
	const struct view_port *in = b->in, *vp;
	const struct rule *rule = NULL;
	struct egress_pkt pkt;
	struct frame_l2 l2;
	uint64_t src_key;
	enum drop drop = classify(b, *inout_m, &l2, &pkt);
	uint16_t out;

	if (unlikely(drop != DROP_NONE))
		return drop;
	if (pkt_asks(pkt.m)) {
		drop = gso_take(pkt.m, &l2);
		if (unlikely(drop != DROP_NONE))
			return drop;
	}
	if (guard_is_active(&in->guard)) {
		drop = guard_check(
			&in->guard, rte_pktmbuf_mtod(pkt.m, const uint8_t *), pkt.m->data_len, pkt.m->pkt_len, &l2);
		if (unlikely(drop != DROP_NONE))
			return drop;
	}
	if (in->rules) {
		drop = apply_rules(b, inout_m, &l2, &pkt, &rule);
		if (drop != DROP_NONE)
			return drop;
	}
	src_key = l2.src << 16 | pkt.vlan;
	if (src_key != b->src_key) {
		drop = learn(b, &l2, pkt.vlan);
		if (unlikely(drop != DROP_NONE))
			return drop;
		b->src_key = src_key;
	}
	egress_mirror(b->w, b->view, in, DP_MIRROR_RX, &pkt);
	if (rule && rule->entry.action.verdict == FLOW_OUTPUT)
		return output(b, &rule->entry.action, pkt);
	if (unlikely(l2.dst & FRAME_MAC_MULTICAST))
		return flood(b, pkt, is_reserved(l2.dst));
	out = lookup(b, l2.dst, pkt.vlan);
	if (likely(!pkt.is_tagged && egress_pass(b->w, &b->way, pkt.m)))
		return DROP_NONE;
	vp = out == MAC_TABLE_NO_PORT ? NULL : view_port(b->view, out);
	if (unlikely(!vp || vp->bridge != in->bridge))
		return flood(b, pkt, false);
	return unicast(b, out, vp, pkt);
}

// Does it leave as it came? False also for what is dropped: switch_one says why.
static bool
passes(struct switch_burst *b, const struct guest_frame *f, const struct rules_ahead *ahead, struct rule **ret_rule)
{
	const struct view_port *in = b->in;
	struct frame_l2 l2;
	uint64_t src_key;

	if (!frame_parse_l2(f->head, f->n_head, &l2) || l2.is_tagged || ((l2.src | l2.dst) & FRAME_MAC_MULTICAST) ||
		!l2.src)
		return false;
	if (guard_is_active(&in->guard) && (!guard_allows_mac(&in->guard, l2.src) || guard_needs_l3(&in->guard, &l2)))
		return false;
	if (in->rules && !rules_pass(b->w, in->rules, f, ahead, ret_rule))
		return false;
	src_key = l2.src << 16 | in->vlan;
	if (src_key != b->src_key && learn(b, &l2, in->vlan) != DROP_NONE)
		return false;
	b->src_key = src_key;
	(void)lookup(b, l2.dst, in->vlan);
	return b->way.device;
}

static bool
asks(const struct guest_frame *f)
{
	return f->hdr.flags | f->hdr.gso_type;
}

static bool
fits(const struct switch_burst *b, const struct guest_frame *f)
{
	return f->n_bytes >= FRAME_WIRE_MIN && f->n_bytes <= b->way.frame_max && !asks(f);
}

uint16_t
switch_passes(struct switch_burst *b, const struct guest_frame *frame, uint16_t n, const struct rules_ahead *ahead,
	struct rule **ret_rule)
{
	const struct rules *rules = b->in->rules;
	uint16_t k = 0;

	// A request that is refused teaches no address.
	if (asks(frame) || !passes(b, frame, ahead, ret_rule))
		return 0;
	// What decided about the first is in these bytes, which each frame that fits has in its
	// head.
	while (k < n && fits(b, &frame[k]) && !memcmp(frame[k].head, frame[0].head, FRAME_MIN) &&
		(!rules || !k || rules_pass(b->w, rules, &frame[k], &ahead[k], &ret_rule[k])))
		k++;
	return k;
}

// Why a port takes no packets at all, or DROP_NONE.
static enum drop
refuses_all(const struct view_port *in)
{
	if (!in->is_admin_up)
		return DROP_PORT_DOWN;
	if (in->is_mirror_target)
		return DROP_MIRROR_PORT;
	return in->bridge ? DROP_NONE : DROP_NO_BRIDGE;
}

void
switch_burst(struct worker *w, const struct view *view, uint16_t in, struct rte_mbuf **pkts, uint16_t n)
{
	struct switch_burst b = switch_begin(w, view, in);
	enum drop drop = refuses_all(b.in);

	if (unlikely(drop != DROP_NONE)) {
		for (uint16_t i = 0; i < n; i++)
			pkt_drop(&w->port[in].c, pkts[i], drop);
		return;
	}
	for (uint16_t i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[i + 4], void *));
		drop = switch_one(&b, &pkts[i]);
		if (unlikely(drop != DROP_NONE))
			pkt_drop(&w->port[in].c, pkts[i], drop);
	}
}
