// The peer of a host, and the tunnels that lead to it. A list is walked: hosts with keys are few.
#include "peer.h"

#include "ctl.h"

#include <string.h>

static bool
is_same_host(const struct peer *p, unsigned uplink, const struct prefix *addr)
{
	return p->uplink == uplink && p->addr.is_v6 == addr->is_v6 &&
		!memcmp(p->addr.addr, addr->addr, addr->is_v6 ? 16 : 4);
}

struct feedback *
peer_control(const struct peer *peer, unsigned port)
{
	for (struct peer_flow *flow = peer->flows; flow; flow = flow->next)
		if (flow->port == port)
			return &flow->control;
	return NULL;
}

struct peer *
peer_find(const struct ctl *ctl, unsigned uplink, const struct prefix *addr)
{
	struct peer *p = ctl->peers.list;

	while (p && !is_same_host(p, uplink, addr))
		p = p->next;
	return p;
}

bool
peer_is_tunnel_to(const struct ctl *ctl, const struct peer *p, const struct model_port *tunnel)
{
	const struct model_port *uplink = port_has(tunnel->cfg.type, PORT_IS_TUNNEL) ?
		model_port_find(ctl->plane.live, tunnel->cfg.uplink) :
		NULL;

	return uplink && is_same_host(p, uplink->id, &tunnel->cfg.remote);
}

const struct model_port *
peer_tunnel_for(const struct ctl *ctl, const struct peer *p, const struct model_port *port)
{
	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++) {
		const struct model_port *tunnel = ctl->plane.live->ports[i];

		if (!strcmp(tunnel->cfg.bridge, port->cfg.bridge) && peer_is_tunnel_to(ctl, p, tunnel))
			return tunnel;
	}
	return NULL;
}
