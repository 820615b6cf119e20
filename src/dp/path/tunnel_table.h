// The tunnels of an uplink, found by the sender of a packet.
#pragma once

#include "view.h"

// Control thread, while a view is built: `tunnel` is the port's number.
void tunnel_table_add(struct view_uplink *up, uint16_t tunnel, const struct prefix *remote, uint32_t vni);
// VIEW_NO_PORT: it is no tunnel's. last: the tunnel of the packet before, which most packets have,
// or VIEW_NO_PORT.
uint16_t tunnel_table_find(
	const struct view *view, const struct view_uplink *up, const struct geneve_packet *p, uint16_t last);
