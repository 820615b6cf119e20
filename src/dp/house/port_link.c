#include "port_link.h"

#include "dp_state.h"

void
port_link_rings_changed(struct port *port)
{
	atomic_fetch_add(&port->dp->env.wakeup_gen, 1);
	for (unsigned i = 0; i < port->dp->env.n_workers; i++)
		waker_wake(&port->dp->worker[i]->waker);
}

void
port_link_changed(struct port *port, bool is_up)
{
	port_link_rings_changed(port);
	if (!is_up)
		atomic_store(&port->has_lost_link, true);
	// A link that goes on in this process did not come up.
	if (is_up && atomic_load(&port->dp->is_taking_over))
		return;
	event_queue_post(
		&port->dp->env.events, (struct dp_event){.type = DP_EVENT_LINK, .port = port->path.id, .is_up = is_up});
}

bool
port_link_set(struct port *port, bool is_up)
{
	if (atomic_exchange(&port->path.device.is_up, is_up) == is_up)
		return false;
	port_link_changed(port, is_up);
	return true;
}
