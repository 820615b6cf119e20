// Builds the workers' snapshot from the control thread's objects. Pure translation: names become
// ids, lists become arrays, and nothing is decided that a worker would have to decide again.
// The next view is a copy of the last one's pointers, a constant number of them. Those of stale
// ports lead to new entries. An entry that differs from the one before makes the lists stale that
// follow from it: those of a bridge, when its ports or their MACs change, and those of a worker,
// when a port comes or goes. Queues of a port are spread over the workers, its egress belongs to
// one of them (port->path.owner).
#include "views.h"

#include "bridge.h"
#include "dp_state.h"
#include "path/pass.h"
#include "path/tunnel_table.h"
#include "port.h"
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

// Before each object of a view.
struct piece {
	struct piece *next;
} __rte_cache_aligned;

// A view in the making.
struct build {
	struct dp *dp;
	struct view *view;
	const struct view *old;
	struct piece *made, *replaced;
	bool is_bridge_stale[DP_MAX_BRIDGES], is_worker_stale[DP_MAX_WORKERS];
	bool is_wakeup_stale;
};

static const struct view_block no_block = {.port = {[0 ... VIEW_BLOCK - 1] = &view_no_port}};
static const struct view_worker no_worker;

// Zeroed. NULL: no memory.
static void *
make(struct build *b, size_t n_bytes)
{
	size_t sum = RTE_ALIGN_CEIL(sizeof(struct piece) + n_bytes, RTE_CACHE_LINE_SIZE);
	struct piece *piece = aligned_alloc(RTE_CACHE_LINE_SIZE, sum);

	if (!piece)
		return NULL;
	memset(piece, 0, sum);
	piece->next = b->made;
	b->made = piece;
	b->dp->views_cost.n_bytes += sum;
	b->dp->views_cost.n_live++;
	return piece + 1;
}

// Constants are no pieces, and NULL is none.
static void
replace(struct build *b, const void *object)
{
	struct piece *piece;

	if (!object || object == &view_no_port || object == &no_block || object == &no_worker)
		return;
	piece = (struct piece *)(uintptr_t)object - 1;
	piece->next = b->replaced;
	b->replaced = piece;
}

static void
free_pieces(struct dp *dp, struct piece *piece)
{
	while (piece) {
		struct piece *next = piece->next;

		free(piece);
		dp->views_cost.n_live--;
		piece = next;
	}
}

static bool
is_vlan_set_empty(const struct vlan_set *set)
{
	for (unsigned i = 0; i < RTE_DIM(set->bits); i++)
		if (set->bits[i])
			return false;
	return true;
}

// A VF is on no bridge: its uplink is.
static void
build_eswitch(const struct port *port, struct view_port *vp)
{
	const struct view_eswitch *eswitch = port->eswitch;

	vp->bridge = port->place.bridge ? &port->place.bridge->path : NULL;
	vp->eswitch = eswitch;
	if (!eswitch || eswitch->pf == port->path.id)
		return;
	vp->guest_rules = port->rules[DP_RULES_GUEST];
	vp->vid = DP_ESWITCH_VID;
	for (unsigned i = 0; i < eswitch->n_vfs; i++)
		if (eswitch->vf[i] == port->path.id) {
			vp->vid = (uint16_t)(DP_ESWITCH_VID + 1 + i);
			vp->bridge = NULL;
		}
}

static void
build_port(const struct dp *dp, struct port *port, struct view_port *vp)
{
	const struct dp_port_cfg *cfg = &port->cfg;
	const struct port *mirror_to = registry_mirror_to(port);

	// A device moves its packets itself, and copies do not pass through rules.
	if (mirror_to && (mirror_to->cfg.device[0] || port_has(mirror_to->cfg.type, PORT_IS_ESWITCH)))
		mirror_to = NULL;
	vp->port = &port->path;
	vp->n_rxq = port->path.device.io ? (uint16_t)cfg->n_queues : 0;
	vp->vlan = (uint16_t)cfg->vlan;
	vp->is_trunk = cfg->vlan_mode == DP_VLAN_TRUNK;
	vp->takes_untagged = !vp->is_trunk || cfg->vlan;
	vp->carries_all = is_vlan_set_empty(&cfg->trunk);
	vp->trunk = cfg->trunk;
	vp->mirror_to = mirror_to ? mirror_to->path.id : VIEW_NO_PORT;
	vp->mirror = mirror_to ? (uint8_t)cfg->mirror : 0;
	vp->is_mirror_target = !LIST_EMPTY(&port->place.name->mirrors);
	vp->is_admin_up = cfg->admin_up;
	vp->is_isolated = cfg->isolated;
	vp->forwards_reserved = cfg->forwards_reserved;
	vp->sends_super_frames = port_has(cfg->type, PORT_IS_GUEST) && cfg->csum && cfg->tso;
	vp->writes_dscp = cfg->dscp == DP_DSCP_DEADLINE;
	vp->dscp_out = dscp_find(&dp->dscp, cfg->deadline_ns);
	vp->deadline_ns = cfg->deadline_ns;
	vp->frame_max = cfg->mtu + ETHER_HEADER;
	vp->mac_limit = cfg->mac_limit ? cfg->mac_limit : UINT32_MAX;
	vp->capture = port->capture;
	vp->rules = port->rules[DP_RULES_HOST];
	build_eswitch(port, vp);
	vp->trace = cfg->prewake || port->is_traced ? port->trace : NULL;
	vp->prewake = cfg->prewake && vp->trace;
	vp->schedule = port->schedule;
	vp->link_rate = cfg->link_rate_bps / 8;
	vp->sender = (struct sched_params){.deadline_ns = cfg->deadline_ns,
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
	*vp = view_no_port;
	vp->port = &port->path;
	vp->is_admin_up = true;
	vp->frame_max = port->cfg.mtu + ETHER_HEADER;
	vp->schedule = port->schedule;
	vp->link_rate = port->cfg.link_rate_bps / 8;
}

// Only a guest waits for a link: its own ring is not read. Packets of others, which share an
// uplink, a trunk or a tunnel, may not wait for one of them. No port waits for a guest or for a
// mirror's target, which may stop.
static void
build_backpressure(const struct port *port, struct view_port *vp)
{
	uint32_t type = port->cfg.type;

	vp->may_be_held = port_has(type, PORT_IS_GUEST) && !vp->is_trunk && !vp->uplink;
	vp->may_hold = port_has(type, PORT_MAY_HOLD) && vp->link_rate && vp->is_admin_up && !vp->is_mirror_target;
}

// Its tunnels, found by who sent a packet.
static const struct view_uplink *
build_uplink(struct build *b, const struct port *port)
{
	const struct port *tunnel;
	struct view_uplink *up;
	uint32_t n_slots = 0;

	LIST_FOREACH (tunnel, &port->place.name->tunnels, place.tunnels)
		n_slots++;
	n_slots = rte_align32pow2(2 * n_slots + 1);
	up = make(b, sizeof(*up) + n_slots * sizeof(up->tunnel[0]));
	if (!up)
		return NULL;
	up->address = port->cfg.address;
	up->mask = n_slots - 1;
	for (uint32_t i = 0; i < n_slots; i++)
		up->tunnel[i] = VIEW_NO_PORT;
	LIST_FOREACH (tunnel, &port->place.name->tunnels, place.tunnels)
		tunnel_table_add(up, tunnel->path.id, &tunnel->cfg.remote, tunnel->cfg.vni);
	return up;
}

static const struct view_tunnel *
build_tunnel(struct build *b, const struct port *port, const struct port *uplink)
{
	struct view_tunnel *t = make(b, sizeof(*t));
	char wrong[GENEVE_IGNORE_ERR];

	if (!t)
		return NULL;
	t->uplink = uplink->path.id;
	t->remote = port->cfg.remote;
	t->vni = port->cfg.vni;
	t->seq = tunnel_seq(port);
	t->queued = tunnel_queued(port);
	t->delays = tunnel_delays(port);
	t->is_resolved = underlay_headers(b->dp, port, &t->headers);
	(void)geneve_ignore_parse(port->cfg.ignore_options, &t->ignore, wrong); // was checked
	t->frame_max = tunnel_frame_max(port, uplink->cfg.mtu);
	return t;
}

// NULL: no memory.
static const struct view_port *
build_entry(struct build *b, struct port *port)
{
	const struct port *uplink = registry_uplink(port);
	struct view_port *vp = make(b, sizeof(*vp));

	if (!vp)
		return NULL;
	b->dp->views_cost.n_entries++;
	build_port(b->dp, port, vp);
	if (port->cfg.address.len) {
		vp->uplink = build_uplink(b, port);
		if (!vp->uplink)
			return NULL;
	}
	// A tunnel whose uplink is gone has none, and is down.
	if (uplink && uplink->cfg.address.len) {
		vp->frame_max = tunnel_mtu(port) + ETHER_HEADER;
		vp->tunnel = build_tunnel(b, port, uplink);
		if (!vp->tunnel)
			return NULL;
	}
	vp->passes = pass_allows(vp);
	build_backpressure(port, vp);
	return vp;
}

static const struct view_port *
build_removed_entry(struct build *b, struct port *port)
{
	struct view_port *vp = make(b, sizeof(*vp));

	if (!vp)
		return NULL;
	b->dp->views_cost.n_entries++;
	build_removed(port, vp);
	return vp;
}

static const struct view_port *
build_entry_of(struct build *b, uint16_t id)
{
	if (b->dp->port[id])
		return build_entry(b, b->dp->port[id]);
	for (struct port *port = b->dp->removed; port; port = port->next_removed)
		if (port->path.id == id && !port->is_over)
			return build_removed_entry(b, port);
	return &view_no_port;
}

static bool
has_same_macs(const struct guard *a, const struct guard *b)
{
	return a->n_macs == b->n_macs && !memcmp(a->mac, b->mac, a->n_macs * sizeof(a->mac[0]));
}

static void
mark_bridges(struct build *b, const struct view_port *was, const struct view_port *is)
{
	if (was->port == is->port && was->bridge == is->bridge && was->is_mirror_target == is->is_mirror_target &&
		has_same_macs(&was->guard, &is->guard))
		return;
	if (was->bridge)
		b->is_bridge_stale[was->bridge->id] = true;
	if (is->bridge)
		b->is_bridge_stale[is->bridge->id] = true;
}

static void
mark_workers(struct build *b, const struct view_port *vp)
{
	unsigned n_workers = b->dp->cfg.workers.n;

	if (vp->port)
		b->is_worker_stale[vp->port->owner] = true;
	for (unsigned q = 0; q < vp->n_rxq; q++)
		b->is_worker_stale[(vp->port->owner + q) % n_workers] = true;
}

static int
replace_entry(struct build *b, uint16_t id)
{
	const struct view_port *was = view_port(b->old, id), *is = build_entry_of(b, id);
	const struct view_block **block = &b->view->block[id / VIEW_BLOCK];
	struct view_block *own;

	if (!is)
		return -ENOMEM;
	if (*block == b->old->block[id / VIEW_BLOCK]) {
		own = make(b, sizeof(*own));
		if (!own)
			return -ENOMEM;
		*own = **block;
		replace(b, *block);
		*block = own;
	}
	own = (struct view_block *)(uintptr_t)*block;
	own->port[id % VIEW_BLOCK] = is;
	replace(b, was->tunnel);
	replace(b, was->uplink);
	replace(b, was);
	b->view->n_ids = RTE_MAX(b->view->n_ids, (uint16_t)(id + 1));
	b->view->n_uplinks = (uint16_t)(b->view->n_uplinks + !!is->uplink - !!was->uplink);
	b->view->n_schedules = (uint16_t)(b->view->n_schedules + !!is->schedule - !!was->schedule);
	b->view->n_traces = (uint16_t)(b->view->n_traces + !!is->trace - !!was->trace);
	mark_bridges(b, was, is);
	if (was->port != is->port || was->n_rxq != is->n_rxq) {
		mark_workers(b, was);
		mark_workers(b, is);
	}
	b->is_wakeup_stale |= was->port != is->port || was->is_admin_up != is->is_admin_up;
	return 0;
}

static bool
is_floating(uint64_t mac)
{
	uint64_t group = mac & ~UINT64_C(0xff);

	return group == VRRP_IPV4 || group == VRRP_IPV6;
}

static void
bind_macs(struct view_bridge *vb, uint16_t port, const struct guard *g)
{
	for (unsigned i = 0; i < g->n_macs; i++) {
		uint32_t slot = view_bound_slot(vb, g->mac[i]);

		if (is_floating(g->mac[i]))
			continue;
		while (vb->bound[slot].mac)
			slot = (slot + 1) & vb->bound_mask;
		vb->bound[slot] = (struct view_bound){.mac = g->mac[i], .port = port};
	}
}

static int
replace_bridge(struct build *b, unsigned id)
{
	const struct bridge *bridge = b->dp->bridge[id];
	uint32_t n_ports = 0, n_bound = 0;
	const struct port *port;
	struct view_bridge *vb;
	uint16_t *member;

	replace(b, b->old->bridge[id]);
	b->view->bridge[id] = NULL;
	if (!bridge || LIST_EMPTY(&bridge->ports))
		return 0;
	LIST_FOREACH (port, &bridge->ports, place.of_bridge) {
		n_ports++;
		n_bound += port->cfg.allowed_macs.n;
	}
	n_bound = n_bound ? rte_align32pow2(2 * n_bound) : 0;
	vb = make(b, sizeof(*vb) + n_bound * sizeof(vb->bound[0]) + n_ports * sizeof(*member));
	if (!vb)
		return -ENOMEM;
	b->view->bridge[id] = vb;
	vb->bound_mask = n_bound ? n_bound - 1 : 0;
	vb->members = member = (uint16_t *)&vb->bound[n_bound];
	LIST_FOREACH (port, &bridge->ports, place.of_bridge) {
		const struct view_port *vp = view_port(b->view, port->path.id);

		if (!vp->bridge)
			continue;
		bind_macs(vb, port->path.id, &vp->guard);
		if (!vp->is_mirror_target)
			*member++ = port->path.id;
	}
	vb->n_members = (uint16_t)(member - vb->members);
	return 0;
}

// Of the worker's lists: what is of ports that stay, and then what is of ports that are new.
static int
replace_worker(struct build *b, unsigned index)
{
	const struct view_worker *was = b->old->worker[index];
	unsigned n_workers = b->dp->cfg.workers.n, n_rxq = was->n_rxq, n_owned = was->n_owned;
	struct view_worker *is;
	uint16_t *owned;

	for (unsigned i = 0; i < b->view->n_changed; i++) {
		n_owned++;
		n_rxq += view_port(b->view, b->view->changed[i])->n_rxq;
	}
	is = make(b, sizeof(*is) + n_rxq * sizeof(is->rxq[0]) + n_owned * sizeof(*owned));
	if (!is)
		return -ENOMEM;
	replace(b, was);
	b->view->worker[index] = is;
	is->owned = owned = (uint16_t *)&is->rxq[n_rxq];
	for (unsigned i = 0; i < was->n_rxq; i++)
		if (!port_set_has(&b->dp->stale, was->rxq[i].port))
			is->rxq[is->n_rxq++] = was->rxq[i];
	for (unsigned i = 0; i < was->n_owned; i++)
		if (!port_set_has(&b->dp->stale, was->owned[i]))
			owned[is->n_owned++] = was->owned[i];
	for (unsigned i = 0; i < b->view->n_changed; i++) {
		uint16_t id = b->view->changed[i];
		const struct view_port *vp = view_port(b->view, id);

		for (uint16_t q = 0; q < vp->n_rxq; q++)
			if ((vp->port->owner + q) % n_workers == index)
				is->rxq[is->n_rxq++] = (struct view_rxq){.port = id, .queue = q};
		if (vp->port && vp->port->owner == index)
			owned[is->n_owned++] = id;
	}
	return 0;
}

// The ids whose entries are stale.
static int
list_changed(struct build *b)
{
	uint16_t *ids;
	unsigned n = 0;

	for (unsigned i = 0; i < RTE_DIM(b->dp->stale.bits); i++)
		n += (unsigned)__builtin_popcountll(b->dp->stale.bits[i]);
	ids = make(b, n * sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	replace(b, b->old->changed);
	b->view->changed = ids;
	for (unsigned i = 0; i < RTE_DIM(b->dp->stale.bits); i++)
		for (uint64_t bits = b->dp->stale.bits[i]; bits; bits &= bits - 1)
			ids[b->view->n_changed++] = (uint16_t)(i * 64 + (unsigned)__builtin_ctzll(bits));
	return 0;
}

static size_t
view_bytes(const struct dp *dp)
{
	return sizeof(struct view) + dp->cfg.workers.n * sizeof(struct view_worker *);
}

static int
build(struct build *b)
{
	int rc;

	b->view = make(b, view_bytes(b->dp));
	if (!b->view)
		return -ENOMEM;
	memcpy(b->view, b->old, view_bytes(b->dp));
	replace(b, b->old);
	b->view->gen++;
	b->view->n_changed = 0;
	rc = list_changed(b);
	for (unsigned i = 0; !rc && i < b->view->n_changed; i++)
		rc = replace_entry(b, b->view->changed[i]);
	for (unsigned i = 0; !rc && i < DP_MAX_BRIDGES; i++)
		rc = b->is_bridge_stale[i] ? replace_bridge(b, i) : 0;
	for (unsigned i = 0; !rc && i < b->dp->cfg.workers.n; i++)
		rc = b->is_worker_stale[i] ? replace_worker(b, i) : 0;
	return rc;
}

static bool
is_stale(const struct dp *dp)
{
	for (unsigned i = 0; i < RTE_DIM(dp->stale.bits); i++)
		if (dp->stale.bits[i])
			return true;
	return false;
}

int
views_publish(struct dp *dp)
{
	struct build b = {.dp = dp, .old = atomic_load(&dp->env.view)};
	int rc;

	if (!is_stale(dp))
		return 0;
	rc = build(&b);
	if (rc) {
		free_pieces(dp, b.made);
		return rc;
	}
	dp->stale = (struct port_set){0};
	atomic_store_explicit(&dp->env.view, b.view, memory_order_release);
	if (b.is_wakeup_stale)
		atomic_fetch_add(&dp->env.wakeup_gen, 1);
	for (unsigned i = 0; i < dp->env.n_workers; i++)
		waker_wake(&dp->worker[i]->waker);
	rcu_wait(&dp->env.rcu);
	free_pieces(dp, b.replaced);
	return 0;
}

int
views_start(struct dp *dp)
{
	struct build b = {.dp = dp};
	struct view *view = make(&b, view_bytes(dp));

	if (!view)
		return -ENOMEM;
	view->gen = 1;
	for (unsigned i = 0; i < RTE_DIM(view->block); i++)
		view->block[i] = &no_block;
	for (unsigned i = 0; i < dp->cfg.workers.n; i++)
		view->worker[i] = &no_worker;
	atomic_store(&dp->env.view, view);
	return 0;
}

void
views_stop(struct dp *dp)
{
	struct build b = {.dp = dp, .old = atomic_load(&dp->env.view)};

	if (!b.old)
		return;
	for (uint16_t i = 0; i < b.old->n_ids; i++) {
		const struct view_port *vp = view_port(b.old, i);

		replace(&b, vp->tunnel);
		replace(&b, vp->uplink);
		replace(&b, vp);
	}
	for (unsigned i = 0; i < RTE_DIM(b.old->block); i++)
		replace(&b, b.old->block[i]);
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		replace(&b, b.old->bridge[i]);
	for (unsigned i = 0; i < dp->cfg.workers.n; i++)
		replace(&b, b.old->worker[i]);
	replace(&b, b.old->changed);
	replace(&b, b.old);
	free_pieces(dp, b.replaced);
}

struct views_cost
views_cost(const struct dp *dp)
{
	return dp->views_cost;
}
