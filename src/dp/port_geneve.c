// A tunnel as a port: a place in a bridge, with counters and parameters like any other, whose frames overlay.c sends and takes
// through its uplink. Nothing is polled or transmitted here.
#include "dp_state.h"
#include "port.h"
#include "port_link.h"
#include "registry.h"
#include "rtvs/path_mtu.h"
#include "underlay.h"

#include <rte_malloc.h>

#include <errno.h>
#include <string.h>

#define IPV6_MORE 20 // bytes of its header than IPv4's
#define TAGGED_HEADER 18 // Ethernet, with one tag

struct tunnel {
	uint64_t seq[DP_MAX_PORTS];
	uint32_t queued[DP_MAX_PORTS];
	struct overlay_delays delays;
	struct path_mtu path; // outside; ctl
	bool is_started; // ctl
};

uint64_t *
port_geneve_seq(const struct port *port)
{
	return ((struct tunnel *)port->priv)->seq;
}

uint32_t *
port_geneve_queued(const struct port *port)
{
	return ((struct tunnel *)port->priv)->queued;
}

struct overlay_delays *
port_geneve_delays(const struct port *port)
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
port_geneve_mtu(const struct port *port)
{
	const struct path_mtu *path = &((const struct tunnel *)port->priv)->path;

	return path->mtu ? RTE_MIN(port->cfg.mtu, path->mtu - headers_of(port)) : port->cfg.mtu;
}

uint32_t
port_geneve_frame_max(const struct port *port, uint32_t uplink_mtu)
{
	const struct path_mtu *path = &((const struct tunnel *)port->priv)->path;
	uint32_t outside = path->mtu ? RTE_MIN(uplink_mtu, path->mtu) : uplink_mtu;

	return outside - headers_of(port) + TAGGED_HEADER;
}

static bool
tell_mtu(struct port *port, uint32_t before, bool is_up)
{
	uint32_t mtu = port_geneve_mtu(port);

	if (mtu == before)
		return false;
	event_queue_post(&port->dp->events,
		(struct dp_event){.type = DP_EVENT_PATH_MTU, .port = port->id, .is_up = is_up, .value = mtu});
	return true;
}

bool
port_geneve_hear_mtu(struct port *port, uint32_t mtu, uint64_t now_ns)
{
	uint32_t before = port_geneve_mtu(port);

	return path_mtu_hear(&((struct tunnel *)port->priv)->path, mtu, port->cfg.remote.is_v6, now_ns) &&
		tell_mtu(port, before, false);
}

bool
port_geneve_expire_mtu(struct port *port, uint64_t now_ns)
{
	uint32_t before = port_geneve_mtu(port);

	return path_mtu_expire(&((struct tunnel *)port->priv)->path, now_ns) && tell_mtu(port, before, true);
}

static void
update_link(struct port *port)
{
	const struct tunnel *t = port->priv;
	const struct port *uplink = registry_port(port->dp, port->cfg.uplink);
	bool is_up = t->is_started && uplink && uplink->cfg.address.len && atomic_load(&uplink->is_up);

	if (atomic_exchange(&port->is_up, is_up) != is_up)
		port_link_changed(port, is_up);
}

static int
geneve_open(struct port *port, char err[DP_ERR_SIZE])
{
	port->priv = rte_zmalloc("tunnel", sizeof(struct tunnel), RTE_CACHE_LINE_SIZE);
	if (port->priv) {
		// Nothing is judged until the clocks are known.
		shared_clock_set(&port_geneve_delays(port)->clock, 0, UINT64_MAX);
		return 0;
	}
	dp_error(err, "no memory for a port");
	return -ENOMEM;
}

static void
geneve_close(struct port *port)
{
	overlay_forget(port->dp, port_geneve_delays(port));
	rte_free(port->priv);
}

static int
geneve_start(struct port *port, char err[DP_ERR_SIZE])
{
	(void)err;
	((struct tunnel *)port->priv)->is_started = true;
	update_link(port);
	return 0;
}

static void
geneve_stop(struct port *port)
{
	((struct tunnel *)port->priv)->is_started = false;
	update_link(port);
}

static void
geneve_state(const struct port *port, struct dp_port_state *ret_state)
{
	const struct port *uplink = registry_port(port->dp, port->cfg.uplink);

	ret_state->n_queues = 1;
	ret_state->mtu = port_geneve_mtu(port);
	ret_state->is_connected = underlay_is_resolved(port);
	if (!uplink || !uplink->cfg.address.len)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "its uplink is gone");
	else if (!ret_state->is_connected)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "the next hop does not answer");
	else if (ret_state->mtu < port->cfg.mtu)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "the network takes packets of %u bytes at most",
			((const struct tunnel *)port->priv)->path.mtu);
}

static uint16_t
geneve_rx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	(void)port;
	(void)q;
	(void)pkts;
	(void)n;
	return 0;
}

static uint16_t
geneve_tx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	(void)refused;
	return geneve_rx(port, q, pkts, n);
}

static int
geneve_rx_wakeup(struct port *port, uint16_t q, bool is_on)
{
	(void)port;
	(void)q;
	(void)is_on;
	return -2; // there is nothing to wait for
}

const struct port_ops port_geneve_ops = {
	.open = geneve_open,
	.close = geneve_close,
	.start = geneve_start,
	.stop = geneve_stop,
	.state = geneve_state,
	.housekeeping = update_link,
	.rx = geneve_rx,
	.tx = geneve_tx,
	.rx_wakeup = geneve_rx_wakeup,
};
