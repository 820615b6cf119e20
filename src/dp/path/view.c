#include "view.h"

bool
view_is_bound_elsewhere(const struct view *view, uint16_t port, uint64_t mac, uint16_t vlan)
{
	bool is_found = false;

	if (!view->bound_mask)
		return false;
	for (uint32_t i = view_bound_slot(view, mac); view->bound[i].mac; i = (i + 1) & view->bound_mask) {
		const struct view_port *other = view_port(view, view->bound[i].port);

		if (view->bound[i].mac != mac || other->bridge != view_port(view, port)->bridge ||
			!view_carries(other, vlan))
			continue;
		if (view->bound[i].port == port)
			return false;
		is_found |= atomic_load_explicit(&other->port->device.is_up, memory_order_relaxed);
	}
	return is_found;
}
