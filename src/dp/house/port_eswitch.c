// The uplink of an eswitch as a port: a place in a bridge, with counters and parameters like any
// other, whose frames the eswitch receives and sends (path/eswitch.c). Its link is up while the
// eswitch is in switchdev mode. Nothing is polled or transmitted here.
#include "dp_state.h"
#include "port.h"
#include "port_link.h"
#include "port_type.h"

#include <stdio.h>

static void
update_link(struct port *port)
{
	(void)port_link_set(port, port->life == PORT_STARTED && port->eswitch);
}

static int
eswitch_open(struct port *port, char err[DP_ERR_SIZE])
{
	(void)err;
	atomic_store(&port->path.device.caps, PORT_CAP_ALL); // VFs and the PF have less
	return 0;
}

static void
eswitch_close(struct port *port)
{
	(void)port;
}

static int
eswitch_start(struct port *port, char err[DP_ERR_SIZE])
{
	(void)err;
	(void)port_link_set(port, port->eswitch);
	return 0;
}

static void
eswitch_stop(struct port *port)
{
	(void)port_link_set(port, false);
}

static void
eswitch_state(const struct port *port, struct dp_port_state *ret_state)
{
	ret_state->n_queues = 1;
	ret_state->is_connected = port->eswitch;
	if (!port->eswitch)
		snprintf(ret_state->detail, sizeof(ret_state->detail),
			"no eswitch in switchdev mode has it as its uplink");
}

const struct port_type port_eswitch_type = {
	.open = eswitch_open,
	.close = eswitch_close,
	.start = eswitch_start,
	.stop = eswitch_stop,
	.state = eswitch_state,
	.housekeeping = update_link,
};
