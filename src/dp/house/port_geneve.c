// A tunnel as a port: a place in a bridge, with counters and parameters like any other, whose frames leave and come through its
// uplink (encap.c, decap.c). Nothing is polled or transmitted here.
#include "dp_state.h"
#include "port.h"
#include "port_link.h"
#include "port_type.h"
#include "registry.h"
#include "tunnel.h"
#include "underlay.h"

#include <rte_malloc.h>

#include <errno.h>
#include <string.h>

static void
update_link(struct port *port)
{
	const struct tunnel *t = port->priv;
	const struct port *uplink = registry_port(port->dp, port->cfg.uplink);
	bool is_up = t->is_started && uplink && uplink->cfg.address.len && atomic_load(&uplink->path.device.is_up);

	if (atomic_exchange(&port->path.device.is_up, is_up) != is_up)
		port_link_changed(port, is_up);
}

static int
geneve_open(struct port *port, char err[DP_ERR_SIZE])
{
	port->priv = rte_zmalloc("tunnel", sizeof(struct tunnel), RTE_CACHE_LINE_SIZE);
	if (port->priv) {
		// Nothing is judged until the clocks are known.
		shared_clock_set(&tunnel_delays(port)->clock, 0, UINT64_MAX);
		return 0;
	}
	dp_error(err, "no memory for a port");
	return -ENOMEM;
}

static void
geneve_close(struct port *port)
{
	tunnel_forget(port->dp, tunnel_delays(port));
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
	ret_state->mtu = tunnel_mtu(port);
	ret_state->is_connected = underlay_is_resolved(port);
	if (!uplink || !uplink->cfg.address.len)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "its uplink is gone");
	else if (!ret_state->is_connected)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "the next hop does not answer");
	else if (ret_state->mtu < port->cfg.mtu)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "the network takes packets of %u bytes at most",
			((const struct tunnel *)port->priv)->path.mtu);
}

const struct port_type port_geneve_type = {
	.open = geneve_open,
	.close = geneve_close,
	.start = geneve_start,
	.stop = geneve_stop,
	.state = geneve_state,
	.housekeeping = update_link,
};
