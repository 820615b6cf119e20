#include "tunnel.h"

#include "dp_state.h"

#include <rte_malloc.h>
#include <rte_ring_elem.h>

#define IPV6_MORE 20 // bytes of its header than IPv4's
#define TAGGED_HEADER 18 // Ethernet, with one tag

uint64_t *
tunnel_seq(const struct port *port)
{
	return ((struct tunnel *)port->priv)->seq;
}

uint32_t *
tunnel_queued(const struct port *port)
{
	return ((struct tunnel *)port->priv)->queued;
}

struct decap_delays *
tunnel_delays(const struct port *port)
{
	return &((struct tunnel *)port->priv)->delays;
}

// Before an IP packet inside, a tag among them.
static uint32_t
headers_of(const struct port *port)
{
	return (port->cfg.remote.is_v6 ? DP_TUNNEL_OVERHEAD : DP_TUNNEL_OVERHEAD - IPV6_MORE) -
		(port->cfg.timestamps ? 0 : GENEVE_META_BYTES);
}

uint32_t
tunnel_mtu(const struct port *port)
{
	const struct path_mtu *path = &((const struct tunnel *)port->priv)->path;

	return path->mtu ? RTE_MIN(port->cfg.mtu, path->mtu - headers_of(port)) : port->cfg.mtu;
}

uint32_t
tunnel_frame_max(const struct port *port, uint32_t uplink_mtu)
{
	const struct path_mtu *path = &((const struct tunnel *)port->priv)->path;
	uint32_t outside = path->mtu ? RTE_MIN(uplink_mtu, path->mtu) : uplink_mtu;

	return outside - headers_of(port) + TAGGED_HEADER;
}

static bool
tell_mtu(struct port *port, uint32_t before, bool is_up)
{
	uint32_t mtu = tunnel_mtu(port);

	if (mtu == before)
		return false;
	event_queue_post(&port->dp->env.events,
		(struct dp_event){.type = DP_EVENT_PATH_MTU, .port = port->path.id, .is_up = is_up, .value = mtu});
	return true;
}

bool
tunnel_hear_mtu(struct port *port, uint32_t mtu, uint64_t now_ns)
{
	uint32_t before = tunnel_mtu(port);

	return path_mtu_hear(&((struct tunnel *)port->priv)->path, mtu, port->cfg.remote.is_v6, now_ns) &&
		tell_mtu(port, before, false);
}

bool
tunnel_expire_mtu(struct port *port, uint64_t now_ns)
{
	uint32_t before = tunnel_mtu(port);

	return path_mtu_expire(&((struct tunnel *)port->priv)->path, now_ns) && tell_mtu(port, before, true);
}

static struct decap_delays *
delays_of(const struct dp *dp, unsigned tunnel)
{
	const struct port *port = tunnel < DP_MAX_PORTS ? dp->port[tunnel] : NULL;

	return port && port_has(port->cfg.type, PORT_IS_TUNNEL) ? tunnel_delays(port) : NULL;
}

void
dp_tunnel_set_interval(struct dp *dp, unsigned tunnel, uint64_t interval_ns)
{
	struct decap_delays *d = delays_of(dp, tunnel);

	if (d)
		atomic_store_explicit(&d->interval_ns, interval_ns, memory_order_relaxed);
}

void
dp_tunnel_set_clock(struct dp *dp, unsigned tunnel, int64_t offset_ns, uint64_t uncertainty_ns)
{
	struct decap_delays *d = delays_of(dp, tunnel);

	if (d)
		shared_clock_set(&d->clock, offset_ns, uncertainty_ns);
}

struct decap_flow *
tunnel_measure(struct dp *dp, const struct port *port, uint16_t flow)
{
	struct decap_delays *d = tunnel_delays(port);
	struct decap_flow *f = atomic_load(&d->flow[flow]);

	if (f)
		return f;
	f = dp->n_delays < DP_MAX_DELAYS ? rte_zmalloc("flow", sizeof(*f), RTE_CACHE_LINE_SIZE) : NULL;
	if (!f)
		return NULL;
	hist_init(&f->delay);
	hist_init(&f->network);
	flow_delay_init(&f->account, &f->delay, &f->network);
	d->listed[d->n_listed] = flow;
	atomic_store_explicit(&d->flow[flow], f, memory_order_release);
	atomic_store_explicit(&d->n_listed, d->n_listed + 1, memory_order_release);
	dp->n_delays++;
	return f;
}

void
tunnel_housekeeping(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		struct decap_delays *d = delays_of(dp, i);

		for (unsigned word = 0; d && word < RTE_DIM(d->wanted); word++)
			for (uint64_t bits = d->wanted[word]; bits; bits &= bits - 1)
				if (!tunnel_measure(
					    dp, dp->port[i], (uint16_t)(word * 64 + (unsigned)__builtin_ctzll(bits))))
					return;
	}
}

void
tunnel_forget(struct dp *dp, struct decap_delays *d)
{
	for (uint32_t i = 0; i < d->n_listed; i++)
		rte_free(d->flow[d->listed[i]]);
	dp->n_delays -= d->n_listed;
}

unsigned
dp_delay_list(const struct dp *dp, unsigned tunnel, uint32_t *pos, struct dp_delay *ret_delays, unsigned max)
{
	struct decap_delays *d = delays_of(dp, tunnel);
	unsigned n = 0;

	for (; d && *pos < d->n_listed && n < max; ++*pos) {
		const struct decap_flow *flow = d->flow[d->listed[*pos]];

		ret_delays[n] = (struct dp_delay){.flow = d->listed[*pos], .stats = flow->snap};
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
	while (!rte_ring_sc_dequeue_elem(dp->env.reports, ret_report, sizeof(*ret_report)))
		if (delays_of(dp, ret_report->tunnel) &&
			dp->port[ret_report->tunnel]->path.serial == ret_report->serial)
			return true;
	return false;
}
