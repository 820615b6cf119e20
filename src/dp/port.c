// Ports as the control thread handles them: checks, life, counters. What differs between types is behind
// port_ops; what workers see is a view. Invariant: a port's counters move to dp->gone before its id is
// free, so that sums over all ports never lose a packet.
#include "port.h"

#include "bridge.h"
#include "capture.h"
#include "connector.h"
#include "dp_state.h"
#include "schedule.h"
#include "trace.h"
#include "underlay.h"

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define ETHER_HEADER 14
#define SNAPSHOT_TIMEOUT_NS UINT64_C(100000000)

static const struct port_ops *const port_types[] = {
	[DP_PORT_VHOST] = &port_vhost_ops,
	[DP_PORT_ETHDEV] = &port_ethdev_ops,
	[DP_PORT_GENEVE] = &port_geneve_ops,
	[DP_PORT_SEGMENT] = &port_segment_ops,
};

struct port *
port_find(const struct dp *dp, const char *name)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i] && !strcmp(dp->port[i]->cfg.name, name))
			return dp->port[i];
	return NULL;
}

void
port_link_changed(struct port *port, bool is_up)
{
	atomic_fetch_add(&port->dp->wakeup_gen, 1);
	for (unsigned i = 0; i < port->dp->n_workers; i++)
		waker_wake(&port->dp->worker[i]->waker);
	if (!is_up)
		atomic_store(&port->has_lost_link, true);
	event_queue_post(&port->dp->events, (struct dp_event){.type = DP_EVENT_LINK, .port = port->id, .is_up = is_up});
}

int
dp_port_check_qos(const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	const struct {
		const char *name;
		uint64_t value, min, max;
		bool may_be_zero;
	} fields[] = {
		{"deadline", cfg->deadline_ns, 1, DP_DEADLINE_MAX_NS, true},
		{"min_rate", cfg->min_rate_bps, DP_RATE_MIN, DP_RATE_MAX, true},
		{"max_rate", cfg->max_rate_bps, DP_RATE_MIN, DP_RATE_MAX, true},
		{"rate", cfg->rate_bps, DP_RATE_MIN, DP_RATE_MAX, true},
		{"burst", cfg->burst_bytes, cfg->mtu + ETHER_HEADER, DP_BURST_MAX, !cfg->min_rate_bps},
		{"weight", cfg->weight, 1, DP_WEIGHT_MAX, false},
		{"queue", cfg->queue, DP_QUEUE_MIN, DP_QUEUE_MAX, false},
	};

	for (unsigned i = 0; i < RTE_DIM(fields); i++) {
		if ((fields[i].may_be_zero && !fields[i].value) ||
			(fields[i].value >= fields[i].min && fields[i].value <= fields[i].max))
			continue;
		dp_error(err, "%s: %" PRIu64 " is out of range %" PRIu64 " to %" PRIu64, fields[i].name,
			fields[i].value, fields[i].min, fields[i].max);
		return -EINVAL;
	}
	if (cfg->late > DP_LATE_DROP)
		dp_error(err, "late: must be send or drop");
	else if (cfg->dscp > DP_DSCP_DEADLINE)
		dp_error(err, "dscp: must be keep or deadline");
	else if (cfg->max_rate_bps && cfg->max_rate_bps < cfg->min_rate_bps)
		dp_error(err, "max_rate: %" PRIu64 " bit/s is less than min_rate", cfg->max_rate_bps);
	else
		return 0;
	return -EINVAL;
}

static int
check(const struct dp *dp, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	char wrong[GENEVE_IGNORE_ERR];
	struct geneve_ignore ignore;

	if (cfg->type > DP_PORT_SEGMENT)
		dp_error(err, "type: must be vhost, ethdev, geneve or segment");
	else if (cfg->mtu < DP_MTU_MIN || cfg->mtu > DP_MTU_MAX)
		dp_error(err, "mtu: %u is out of range %u to %u", cfg->mtu, DP_MTU_MIN, DP_MTU_MAX);
	else if (!cfg->n_queues || cfg->n_queues > DP_MAX_QUEUES)
		dp_error(err, "queues: %u is out of range 1 to %u", cfg->n_queues, DP_MAX_QUEUES);
	else if (cfg->vlan > RTVS_VLAN_MAX)
		dp_error(err, "vlan: %u is out of range 0 to %u", cfg->vlan, RTVS_VLAN_MAX);
	else if (cfg->mirror_to[0] && !strcmp(cfg->mirror_to, cfg->name))
		dp_error(err, "mirror_to: a port cannot be its own mirror");
	else if (cfg->bridge[0] && !bridge_find(dp, cfg->bridge)) {
		dp_error(err, "bridge: there is no bridge '%s'", cfg->bridge);
		return -ENOENT;
	} else if (geneve_ignore_parse(cfg->ignore_options, &ignore, wrong)) {
		dp_error(err, "ignore_options: %s", wrong);
	} else
		return dp_port_check_qos(cfg, err);
	return -EINVAL;
}

static bool
has_guarantee(const struct dp_port_cfg *cfg)
{
	return cfg->deadline_ns || cfg->min_rate_bps;
}

// On the same bridge, or to a tunnel there.
static bool
may_send_to(const struct dp *dp, const struct port *from, const struct port *to)
{
	if (!from->cfg.bridge[0])
		return false;
	for (unsigned i = 0; i < DP_MAX_PORTS && to->cfg.address.len; i++)
		if (dp->port[i] && !strcmp(dp->port[i]->cfg.uplink, to->cfg.name) &&
			!strcmp(dp->port[i]->cfg.bridge, from->cfg.bridge))
			return true;
	return !strcmp(from->cfg.bridge, to->cfg.bridge);
}

// A port's egress is scheduled from when it has a rate, or shares a bridge with a port that has a guarantee, for its life.
static int
prepare_schedule(struct dp *dp, struct port *port)
{
	bool is_wanted = port->cfg.rate_bps;
	int rc;

	if (port->cfg.type == DP_PORT_GENEVE) // its uplink's does it
		return 0;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		is_wanted |= dp->port[i] && has_guarantee(&dp->port[i]->cfg) && may_send_to(dp, dp->port[i], port);
	if (!is_wanted)
		return 0;
	rc = port->schedule ? 0 : schedule_create(&port->schedule, clock_now_ns(&dp->clock));
	for (uint16_t i = 0; !rc && i < DP_MAX_PORTS; i++)
		if (dp->port[i] && has_guarantee(&dp->port[i]->cfg) && may_send_to(dp, dp->port[i], port))
			rc = schedule_keep_delay(port->schedule, i);
	return rc;
}

// The new state of all ports, as workers see it.
static int
publish(struct dp *dp)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < DP_MAX_PORTS; i++)
		if (dp->port[i]) {
			rc = prepare_schedule(dp, dp->port[i]);
			if (!rc)
				rc = trace_prepare(dp->port[i]);
			if (!rc && dp->port[i]->cfg.address.len)
				rc = underlay_create(dp->port[i]);
		}
	if (!rc)
		rc = view_publish(dp);
	underlay_housekeeping(dp);
	return rc;
}

static void
port_free(struct port *port)
{
	schedule_destroy(port->schedule, port->dp, port->id);
	underlay_destroy(port);
	free(port->trace);
	mailbox_fini(&port->handoff);
	rte_free(port);
}

static int
port_alloc(struct dp *dp, const struct dp_port_cfg *cfg, uint16_t id, struct port **ret_port)
{
	struct port *port = rte_zmalloc("port", sizeof(*port), RTE_CACHE_LINE_SIZE);
	char name[RTE_RING_NAMESIZE];
	int rc;

	if (!port)
		return -ENOMEM;
	port->id = id;
	port->dp = dp;
	port->ops = port_types[cfg->type];
	port->cfg = *cfg;
	port->n_txq = 1;
	port->answer_dscp = port->answer_excess = DSCP_KEEP;
	port->owner = (uint16_t)(id % dp->n_workers);
	port->serial = ++dp->n_ports_made;
	snprintf(name, sizeof(name), "rtvs_port%u", id);
	rc = mailbox_init(&port->handoff, name, PORT_HANDOFF_SIZE);
	if (rc) {
		rte_free(port);
		return rc;
	}
	*ret_port = port;
	return 0;
}

int
dp_port_add(struct dp *dp, const struct dp_port_cfg *cfg, unsigned *ret_id, char err[DP_ERR_SIZE])
{
	struct port *port = NULL;
	uint16_t id = 0;
	int rc = check(dp, cfg, err);

	if (rc)
		return rc;
	if (port_find(dp, cfg->name)) {
		dp_error(err, "name: there is already a port '%s'", cfg->name);
		return -EEXIST;
	}
	while (id < DP_MAX_PORTS && dp->port[id])
		id++;
	if (id == DP_MAX_PORTS) {
		dp_error(err, "there are already %u ports", DP_MAX_PORTS);
		return -ENOSPC;
	}
	rc = port_alloc(dp, cfg, id, &port);
	if (rc) {
		dp_error(err, "no memory for a port");
		return rc;
	}
	rc = port->ops->open(port, err);
	if (rc)
		goto err_free;
	dp->port[id] = port;
	rc = publish(dp);
	if (rc)
		dp_error(err, "no memory for a port");
	if (!rc && cfg->admin_up)
		rc = port->ops->start(port, err);
	if (rc)
		goto err_close;
	*ret_id = id;
	return 0;
err_close:
	dp->port[id] = NULL;
	(void)view_publish(dp);
	port->ops->close(port);
err_free:
	port_free(port);
	return rc;
}

// Which of the members that are fixed for a port's life differ.
static const char *
fixed_difference(const struct dp_port_cfg *a, const struct dp_port_cfg *b)
{
	if (strcmp(a->name, b->name))
		return "name";
	if (a->type != b->type)
		return "type";
	if (strcmp(a->socket, b->socket))
		return "socket";
	if (a->vhost_mode != b->vhost_mode)
		return "mode";
	if (a->packed != b->packed)
		return "packed";
	if (a->csum != b->csum)
		return "csum";
	if (a->tso != b->tso)
		return "tso";
	if (a->n_queues != b->n_queues)
		return "queues";
	if (a->socket_mode != b->socket_mode)
		return "socket_mode";
	if (strcmp(a->socket_owner, b->socket_owner))
		return "socket_owner";
	if (strcmp(a->socket_group, b->socket_group))
		return "socket_group";
	if (strcmp(a->path, b->path))
		return "path";
	if (strcmp(a->uplink, b->uplink))
		return "uplink";
	if (memcmp(&a->remote, &b->remote, sizeof(a->remote)))
		return "remote";
	if (a->vni != b->vni)
		return "vni";
	if (a->timestamps != b->timestamps)
		return "timestamps";
	return strcmp(a->devargs, b->devargs) ? "devargs" : NULL;
}

// With a guest, when its driver starts.
static bool
is_negotiated(const struct dp_port_cfg *cfg, const char *param)
{
	if (cfg->type != DP_PORT_VHOST)
		return false;
	return !strcmp(param, "packed") || !strcmp(param, "csum") || !strcmp(param, "tso") || !strcmp(param, "queues");
}

int
dp_port_set(struct dp *dp, unsigned id, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct dp_port_cfg old;
	const char *fixed;
	int rc;

	if (!port)
		return -ENOENT;
	old = port->cfg;
	rc = check(dp, cfg, err);
	if (rc)
		return rc;
	fixed = fixed_difference(&old, cfg);
	if (fixed) {
		dp_error(err, "%s: fixed when the port is added; delete the port and add it again to change it%s",
			fixed,
			is_negotiated(cfg, fixed) ?
				", then power its guest off and on: while it runs it keeps what it uses" :
				"");
		return -EINVAL;
	}
	if (cfg->mtu != old.mtu && port->ops->set_mtu) {
		rc = port->ops->set_mtu(port, cfg->mtu, err);
		if (rc)
			return rc;
	}
	port->cfg = *cfg;
	if (cfg->admin_up && !old.admin_up) {
		rc = port->ops->start(port, err);
		if (rc)
			goto err_cfg;
	}
	rc = publish(dp);
	if (rc) {
		dp_error(err, "no memory for the new configuration");
		if (cfg->admin_up && !old.admin_up)
			port->ops->stop(port);
		goto err_cfg;
	}
	// A new limit grants nothing for the past, and what was owed at the old one is forgiven: now that no worker charges by that.
	if (cfg->max_rate_bps != old.max_rate_bps || cfg->burst_bytes != old.burst_bytes)
		__atomic_store_n(&port->paid.max_rate, clock_now_ns(&dp->clock) * RATE_LIMIT_PARTS, __ATOMIC_RELAXED);
	if (!cfg->admin_up && old.admin_up)
		port->ops->stop(port);
	if (strcmp(old.bridge, cfg->bridge) && old.bridge[0])
		bridge_forget_port(dp, bridge_find(dp, old.bridge), port, true);
	else if (old.vlan != cfg->vlan && old.bridge[0])
		bridge_forget_port(dp, bridge_find(dp, old.bridge), port, false);
	return 0;
err_cfg:
	port->cfg = old;
	if (cfg->mtu != old.mtu && port->ops->set_mtu) {
		char ignored[DP_ERR_SIZE];

		(void)port->ops->set_mtu(port, old.mtu, ignored);
	}
	return rc;
}

static void
add_counters(struct dp_port_stats *sum, const struct port_counters *c)
{
	sum->rx_pkts += c->rx_pkts;
	sum->rx_bytes += c->rx_bytes;
	sum->tx_pkts += c->tx_pkts;
	sum->tx_bytes += c->tx_bytes;
	sum->replicated += c->replicated;
	sum->to_daemon += c->to_daemon;
	sum->prewakes += c->prewakes;
	sum->queued += (int64_t)(c->queued_in - c->queued_out);
	for (unsigned i = 0; i < DROP_COUNT; i++)
		sum->drops[i] += c->drops[i];
}

static void
move_lost(const struct port *port, struct dp_port_stats *stats)
{
	uint64_t lost = port->ops->tx_lost ? port->ops->tx_lost(port) : 0;

	lost = RTE_MIN(lost, stats->tx_pkts);
	stats->tx_pkts -= lost;
	stats->drops[DROP_TX_ERROR] += lost;
}

// No worker uses the port any more: what was on its way to it is dropped, its counters are history.
static void
retire_counters(struct dp *dp, struct port *port)
{
	struct dp_port_stats *gone = &dp->gone;
	int64_t queued = gone->queued;
	uint64_t blocked_ns = 0;

	mailbox_clear(&port->handoff);
	for (unsigned i = 0; i < dp->n_workers; i++) {
		struct worker *w = dp->worker[i];

		// What a tunnel sent and received its uplink did.
		if (port->cfg.type == DP_PORT_GENEVE)
			w->port[port->id].c.rx_pkts = w->port[port->id].c.rx_bytes = w->port[port->id].c.tx_pkts =
				w->port[port->id].c.tx_bytes = 0;
		add_counters(gone, &w->port[port->id].c);
		blocked_ns = RTE_MAX(blocked_ns, w->port[port->id].c.blocked_ns);
		memset(&w->port[port->id], 0, sizeof(w->port[port->id]));
		memset(&w->snap[port->id], 0, sizeof(w->snap[port->id]));
	}
	move_lost(port, gone);
	gone->drops[DROP_PORT_GONE] += (uint64_t)(gone->queued - queued);
	gone->queued = queued;
	gone->guest_errors += atomic_load(&port->guest_errors);
	gone->blocked_ns += blocked_ns;
}

int
dp_port_del(struct dp *dp, unsigned id)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct bridge *bridge;

	if (!port)
		return -ENOENT;
	dp_capture_stop(dp, id, &(uint64_t){0});
	bridge = port->cfg.bridge[0] ? bridge_find(dp, port->cfg.bridge) : NULL;
	dp->port[id] = NULL;
	if (view_publish(dp)) {
		// Without memory for a new view the port stays, which is said, rather than used after it is freed.
		dp->port[id] = port;
		return -ENOMEM;
	}
	if (bridge)
		bridge_forget_port(dp, bridge, port, true);
	port->ops->stop(port);
	retire_counters(dp, port);
	port->ops->close(port);
	port_free(port);
	return 0;
}

int
dp_port_set_answer(struct dp *dp, unsigned id, uint64_t deadline_ns, uint8_t dscp, uint8_t excess)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	if (!port)
		return -ENOENT;
	port->answer_deadline_ns = deadline_ns;
	port->answer_dscp = dscp;
	port->answer_excess = excess;
	return view_publish(dp);
}

uint64_t
dp_flow_seq(const struct dp *dp, unsigned tunnel, unsigned id)
{
	const struct port *port = tunnel < DP_MAX_PORTS ? dp->port[tunnel] : NULL;

	if (!port || port->cfg.type != DP_PORT_GENEVE || id >= DP_MAX_PORTS)
		return 0;
	return __atomic_load_n(&port_geneve_seq(port)[id], __ATOMIC_RELAXED) +
		__atomic_load_n(&port_geneve_queued(port)[id], __ATOMIC_RELAXED);
}

int
dp_port_state(const struct dp *dp, unsigned id, struct dp_port_state *ret_state)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	if (!port)
		return -ENOENT;
	*ret_state = (struct dp_port_state){.is_link_up = atomic_load(&port->is_up),
		.mtu = port->cfg.mtu,
		.worker = port->owner,
		.wake_ns = trace_wake_ns(port)};
	port->ops->state(port, ret_state);
	return 0;
}

unsigned
dp_flow_list(const struct dp *dp, unsigned id, uint32_t *pos, struct dp_flow *ret_flows, unsigned max)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	unsigned n = 0;

	for (; port && port->schedule && *pos < DP_MAX_PORTS && n < max; ++*pos) {
		struct dp_flow *f = &ret_flows[n];

		if (!dp->port[*pos] || !schedule_flow(port->schedule, (uint16_t)*pos, f))
			continue;
		f->port = *pos;
		n++;
	}
	return n;
}

uint64_t
dp_port_held_ns(const struct dp *dp, unsigned id, unsigned by)
{
	const struct port *port = by < DP_MAX_PORTS ? dp->port[by] : NULL;

	return port && port->schedule && id < DP_MAX_PORTS && dp->port[id] ?
		schedule_held_ns(port->schedule, (uint16_t)id) :
		0;
}

uint32_t
dp_port_n_macs(const struct dp *dp, unsigned id)
{
	return id < DP_MAX_PORTS && dp->port[id] ? (uint32_t)RTE_MAX(atomic_load(&dp->port[id]->n_macs), 0) : 0;
}

int
dp_stats_refresh(struct dp *dp)
{
	uint64_t deadline = clock_now_ns(&dp->clock) + SNAPSHOT_TIMEOUT_NS;

	for (unsigned i = 0; i < dp->n_workers; i++) {
		atomic_fetch_add_explicit(&dp->worker[i]->snap_wanted, 1, memory_order_release);
		waker_wake(&dp->worker[i]->waker);
	}
	for (unsigned i = 0; i < dp->n_workers; i++) {
		struct worker *w = dp->worker[i];

		while (atomic_load_explicit(&w->snap_done, memory_order_acquire) != atomic_load(&w->snap_wanted)) {
			if (clock_now_ns(&dp->clock) > deadline)
				return -ETIMEDOUT;
			sched_yield();
		}
	}
	return 0;
}

int
dp_port_stats(const struct dp *dp, unsigned id, struct dp_port_stats *ret_stats)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	if (!port)
		return -ENOENT;
	memset(ret_stats, 0, sizeof(*ret_stats));
	for (unsigned i = 0; i < dp->n_workers; i++) {
		const struct port_counters *c = &dp->worker[i]->snap[id];

		add_counters(ret_stats, c);
		// Workers leave its queues alone at the same time: that is not to be counted twice.
		ret_stats->blocked_ns = RTE_MAX(ret_stats->blocked_ns, c->blocked_ns);
	}
	move_lost(port, ret_stats);
	ret_stats->guest_errors = atomic_load(&port->guest_errors);
	return 0;
}

void
dp_stats_gone(const struct dp *dp, struct dp_port_stats *ret_stats)
{
	*ret_stats = dp->gone;
}

void
port_housekeeping(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i]) {
			dp->port[i]->ops->housekeeping(dp->port[i]);
			bridge_forget_lost_link(dp, dp->port[i]);
		}
}

void
dp_housekeeping(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		if (dp->bridge[i])
			bridge_housekeeping(dp, i);
	port_housekeeping(dp);
	underlay_housekeeping(dp);
	connector_housekeeping(dp->connector);
}
