#include "view.h"

// Packets of a port that is gone may still wait somewhere.
const struct view_port view_no_port = {
	.mirror_to = VIEW_NO_PORT,
	.sender = {.weight = 1, .limit = DP_QUEUE_MIN},
	.dscp_out = DSCP_KEEP,
};

bool
view_is_bound_elsewhere(const struct view *view, uint16_t port, uint64_t mac, uint16_t vlan)
{
	const struct view_bridge *bridge = view->bridge[view_port(view, port)->bridge->id];
	bool is_found = false;

	if (!bridge->bound_mask)
		return false;
	for (uint32_t i = view_bound_slot(bridge, mac); bridge->bound[i].mac; i = (i + 1) & bridge->bound_mask) {
		const struct view_port *other = view_port(view, bridge->bound[i].port);

		if (bridge->bound[i].mac != mac || !view_carries(other, vlan))
			continue;
		if (bridge->bound[i].port == port)
			return false;
		is_found |= atomic_load_explicit(&other->port->device.is_up, memory_order_relaxed);
	}
	return is_found;
}
