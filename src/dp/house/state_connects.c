// Counters of front-ends in a state. The connection that a port has goes on without being counted
// again, so the sums are those of all processes.
#include "state_connects.h"

#include "port_type.h"

struct saved_connects {
	uint32_t port, zero;
	uint64_t connects, disconnects, rings_recovered;
};

void
state_connects_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++) {
		const struct port *port = s->dp->port[i];
		struct port_connects connects = {0};
		struct saved_connects saved;

		if (!port || !port->type->connects)
			continue;
		port->type->connects(port, &connects);
		saved = (struct saved_connects){.port = i,
			.connects = connects.n_connects,
			.disconnects = connects.n_disconnects,
			.rings_recovered = connects.n_rings_recovered};
		state_record_begin(&s->out, STATE_CONNECTS, 1);
		state_record_put(&s->out, &saved, sizeof(saved));
		state_record_end(&s->out);
	}
}

bool
state_connects_load(struct state_load *l, struct state_record *record)
{
	struct saved_connects saved;
	struct port *port;

	if (!state_take_all(record, &saved, sizeof(saved)) || saved.zero || saved.connects < saved.disconnects)
		return false;
	port = state_port(l, saved.port);
	if (!port || !port->type->go_on)
		return false;
	port->type->go_on(port,
		&(struct port_connects){.n_connects = saved.connects,
			.n_disconnects = saved.disconnects,
			.n_rings_recovered = saved.rings_recovered});
	return true;
}
