// Builds the workers' snapshot from the control thread's objects. Pure translation: names become
// ids, lists become arrays, and nothing is decided that a worker would have to decide again. Queues
// of a port are spread over the workers, its egress belongs to one of them (port->path.owner).
#include "views.h"

#include "bridge.h"
#include "dp_state.h"
#include "path/tunnel_table.h"
#include "registry.h"
#include "tunnel.h"
#include "underlay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ETHER_HEADER 14
// RFC 9568, section 7.3: the last byte is the virtual router's
#define VRRP_IPV4 UINT64_C(0x00005e000100)
#define VRRP_IPV6 UINT64_C(0x00005e000200)
#define FLOOD_BURST_DIV 10 // a tenth of a second's worth may come at once
#define MAX_RATE_BURST_DIV 1000 // a millisecond's worth, which a late worker may make up for

static uint16_t
id_of(const struct dp *dp, const char *name)
{
	const struct port *port = name[0] ? registry_port(dp, name) : NULL;

	return port ? port->path.id : VIEW_NO_PORT;
}

static bool
is_vlan_set_empty(const struct vlan_set *set)
{
	for (unsigned i = 0; i < RTE_DIM(set->bits); i++)
		if (set->bits[i])
			return false;
	return true;
}

static void
build_port(const struct dp *dp, struct port *port, struct view_port *vp)
{
	const struct dp_port_cfg *cfg = &port->cfg;
	struct bridge *bridge = cfg->bridge[0] ? registry_bridge(dp, cfg->bridge) : NULL;

	vp->port = &port->path;
	vp->bridge = bridge ? &bridge->path : NULL;
	vp->vlan = (uint16_t)cfg->vlan;
	vp->is_trunk = cfg->vlan_mode == DP_VLAN_TRUNK;
	vp->takes_untagged = !vp->is_trunk || cfg->vlan;
	vp->carries_all = is_vlan_set_empty(&cfg->trunk);
	vp->trunk = cfg->trunk;
	vp->mirror_to = cfg->mirror ? id_of(dp, cfg->mirror_to) : VIEW_NO_PORT;
	vp->mirror = vp->mirror_to == VIEW_NO_PORT ? 0 : (uint8_t)cfg->mirror;
	vp->is_admin_up = cfg->admin_up;
	vp->is_isolated = cfg->isolated;
	vp->forwards_reserved = cfg->forwards_reserved;
	vp->sends_super_frames = port_has(cfg->type, PORT_IS_GUEST) && cfg->csum && cfg->tso;
	vp->writes_dscp = cfg->dscp == DP_DSCP_DEADLINE;
	vp->dscp_out = vp->dscp_excess = dscp_find(&dp->dscp, cfg->deadline_ns);
	if (port->answer_dscp != DSCP_KEEP) {
		vp->dscp_out = port->answer_dscp;
		vp->dscp_excess = port->answer_excess;
	}
	vp->deadline_ns = cfg->deadline_ns;
	vp->frame_max = cfg->mtu + ETHER_HEADER;
	vp->mac_limit = cfg->mac_limit ? cfg->mac_limit : UINT32_MAX;
	vp->capture = port->capture;
	vp->trace = cfg->prewake || port->is_traced ? port->trace : NULL;
	vp->prewake = cfg->prewake && vp->trace;
	vp->schedule = port->schedule;
	vp->rate = cfg->rate_bps / 8;
	vp->flow = (struct sched_params){
		.deadline_ns = port->answer_deadline_ns ? port->answer_deadline_ns : cfg->deadline_ns,
		.min_rate = cfg->min_rate_bps / 8,
		.burst = cfg->burst_bytes,
		.weight = cfg->weight,
		.limit = cfg->queue,
		.drops_late = cfg->late == DP_LATE_DROP};
	rate_limit_init(&vp->flood, cfg->flood_pps, cfg->flood_pps / FLOOD_BURST_DIV + 1);
	rate_limit_init(&vp->raised, cfg->min_rate_bps / 8,
		view_bucket_bytes(vp, true)); // of the egress where frames are longest
	rate_limit_init(&vp->max_rate, cfg->max_rate_bps / 8,
		RTE_MAX(dp_bucket_bytes(cfg->burst_bytes, cfg->mtu, false),
			cfg->max_rate_bps / 8 / MAX_RATE_BURST_DIV));
	guard_init(&vp->guard, &cfg->allowed_macs, &cfg->allowed_ips);
}

// It is removed: nothing leads to it, and what waits for it leaves.
static void
build_removed(struct port *port, struct view_port *vp)
{
	vp->port = &port->path;
	vp->mirror_to = VIEW_NO_PORT;
	vp->is_admin_up = true;
	vp->frame_max = port->cfg.mtu + ETHER_HEADER;
	vp->schedule = port->schedule;
	vp->rate = port->cfg.rate_bps / 8;
}

static void
build_uplink(struct view *view, const struct port *port, struct view_port *vp)
{
	struct view_uplink *up = &view->uplinks[view->n_uplinks++];

	up->address = port->cfg.address;
	for (unsigned i = 0; i < RTE_DIM(up->tunnel); i++)
		up->tunnel[i] = VIEW_NO_PORT;
	vp->uplink = up;
}

// A tunnel whose uplink is gone has none, and is down.
static void
build_tunnel(const struct dp *dp, struct view *view, const struct port *port)
{
	struct view_tunnel *t = &view->tunnels[port->path.id];
	char wrong[GENEVE_IGNORE_ERR];

	t->uplink = id_of(dp, port->cfg.uplink);
	if (t->uplink == VIEW_NO_PORT || !view->port[t->uplink].uplink)
		return;
	t->remote = port->cfg.remote;
	t->vni = port->cfg.vni;
	t->seq = tunnel_seq(port);
	t->queued = tunnel_queued(port);
	t->delays = tunnel_delays(port);
	t->is_resolved = underlay_headers(dp, port, &t->headers);
	(void)geneve_ignore_parse(port->cfg.ignore_options, &t->ignore, wrong); // was checked
	view->port[port->path.id].frame_max = tunnel_mtu(port) + ETHER_HEADER;
	t->frame_max = tunnel_frame_max(port, view->port[t->uplink].frame_max - ETHER_HEADER);
	view->port[port->path.id].tunnel = t;
	tunnel_table_add(view, port->path.id);
}

// Only a guest waits for a link: its own ring is not read. Packets of others, which share an
// uplink, a trunk or a tunnel, may not wait for one of them. No port waits for a guest or for a
// mirror's target, which may stop.
static void
build_backpressure(const struct port *port, struct view_port *vp)
{
	uint32_t type = port->cfg.type;

	vp->may_be_held = port_has(type, PORT_IS_GUEST) && !vp->is_trunk && !vp->uplink;
	vp->may_hold = port_has(type, PORT_MAY_HOLD) && vp->rate && vp->is_admin_up && !vp->is_mirror_target;
}

static void
build_members(const struct dp *dp, struct view *view)
{
	uint16_t n = 0;

	for (unsigned b = 0; b < DP_MAX_BRIDGES; b++) {
		uint16_t first = n;

		if (!dp->bridge[b])
			continue;
		for (uint16_t i = 0; i < DP_MAX_PORTS; i++)
			if (view->port[i].port && view->port[i].bridge == &dp->bridge[b]->path &&
				!view->port[i].is_mirror_target)
				view->members[n++] = i;
		for (uint16_t i = 0; i < DP_MAX_PORTS; i++)
			if (view->port[i].port && view->port[i].bridge == &dp->bridge[b]->path) {
				view->port[i].members = &view->members[first];
				view->port[i].n_members = (uint16_t)(n - first);
			}
	}
}

static void
build_workers(const struct dp *dp, struct view *view)
{
	unsigned n_workers = dp->cfg.workers.n;
	struct view_rxq *rxq = view->rxqs;
	uint16_t *owned = view->owned;

	for (unsigned w = 0; w < n_workers; w++) {
		struct view_worker *vw = &view->worker[w];

		vw->rxq = rxq;
		vw->owned = owned;
		for (uint16_t i = 0; i < DP_MAX_PORTS; i++) {
			const struct port *port = dp->port[i];

			if (!port)
				continue;
			for (uint16_t q = 0; port->path.device.io && q < port->cfg.n_queues; q++)
				if ((port->path.owner + q) % n_workers == w)
					*rxq++ = (struct view_rxq){.port = i, .queue = q};
			if (port->path.owner == w)
				*owned++ = i;
		}
		for (const struct port *port = dp->removed; port; port = port->next_removed)
			if (!port->is_over && port->path.owner == w)
				*owned++ = port->path.id;
		vw->n_rxq = (uint16_t)(rxq - vw->rxq);
		vw->n_owned = (uint16_t)(owned - vw->owned);
	}
}

// Of the present master, at any host.
static bool
is_floating(uint64_t mac)
{
	uint64_t group = mac & ~UINT64_C(0xff);

	return group == VRRP_IPV4 || group == VRRP_IPV6;
}

static void
bind_macs(struct view *view, uint16_t port)
{
	const struct guard *g = &view->port[port].guard;

	for (unsigned i = 0; i < g->n_macs; i++) {
		uint32_t slot = view_bound_slot(view, g->mac[i]);

		if (is_floating(g->mac[i]))
			continue;
		while (view->bound[slot].mac)
			slot = (slot + 1) & view->bound_mask;
		view->bound[slot] = (struct view_bound){.mac = g->mac[i], .port = port};
	}
}

static uint32_t
count_bound_slots(const struct dp *dp)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		n += dp->port[i] ? dp->port[i]->cfg.allowed_macs.n : 0;
	return n ? rte_align32pow2(2 * n) : 0;
}

int
views_publish(struct dp *dp)
{
	uint32_t n_bound = count_bound_slots(dp);
	struct view *view = calloc(1, sizeof(*view) + n_bound * sizeof(view->bound[0]));
	struct view *old;

	if (!view)
		return -ENOMEM;
	view->gen = ++dp->view_gen;
	view->bound_mask = n_bound ? n_bound - 1 : 0;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		// Packets of a port that is gone may still wait somewhere.
		view->port[i].flow = (struct sched_params){.weight = 1, .limit = DP_QUEUE_MIN};
		view->port[i].dscp_out = view->port[i].dscp_excess = DSCP_KEEP;
		if (dp->port[i])
			build_port(dp, dp->port[i], &view->port[i]);
		bind_macs(view, (uint16_t)i);
	}
	for (struct port *port = dp->removed; port; port = port->next_removed)
		if (!port->is_over)
			build_removed(port, &view->port[port->path.id]);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		view->has_schedules |= view->port[i].schedule != NULL;
		view->has_traces |= view->port[i].trace != NULL;
	}
	for (unsigned i = 0; i < DP_MAX_PORTS && view->n_uplinks < DP_MAX_UPLINKS; i++)
		if (dp->port[i] && dp->port[i]->cfg.address.len)
			build_uplink(view, dp->port[i], &view->port[i]);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i] && port_has(dp->port[i]->cfg.type, PORT_IS_TUNNEL))
			build_tunnel(dp, view, dp->port[i]);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (view->port[i].port && view->port[i].mirror_to != VIEW_NO_PORT)
			view->port[view->port[i].mirror_to].is_mirror_target = true;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i])
			build_backpressure(dp->port[i], &view->port[i]);
	build_members(dp, view);
	build_workers(dp, view);
	old = atomic_exchange_explicit(&dp->env.view, view, memory_order_acq_rel);
	atomic_fetch_add(&dp->env.wakeup_gen, 1);
	for (unsigned i = 0; i < dp->env.n_workers; i++)
		waker_wake(&dp->worker[i]->waker);
	rcu_wait(&dp->env.rcu);
	free(old);
	return 0;
}
