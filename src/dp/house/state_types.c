// States of types of ports in a state: those that a deleted port leaves to the next one at its far
// end (kept.h). They have versions of their own, and each type checks its state.
#include "state_types.h"

#include "port_type.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_NAME_SIZE 16

struct saved_type {
	uint32_t port, zero;
	char type[TYPE_NAME_SIZE]; // name, with zeroes behind
}; // then what the type saves

static void
save_port(struct state_save *s, uint32_t number, const struct port *port)
{
	struct saved_type saved = {.port = number};
	const char *name = port_traits_names[port->cfg.type];
	size_t len = port->type->save(port, NULL, 0), name_len = strlen(name);
	void *state = len ? malloc(len) : NULL;

	if (len && (!state || name_len >= TYPE_NAME_SIZE))
		s->out.rc = -ENOMEM;
	if (state && !s->out.rc) {
		memcpy(saved.type, name, name_len);
		len = port->type->save(port, state, len);
		state_record_begin(&s->out, STATE_TYPE, 1);
		state_record_put(&s->out, &saved, sizeof(saved));
		state_record_put(&s->out, state, len);
		state_record_end(&s->out);
	}
	free(state);
}

void
state_types_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++)
		if (s->dp->port[i] && s->dp->port[i]->type->save)
			save_port(s, i, s->dp->port[i]);
}

bool
state_types_load(struct state_load *l, struct state_record *record)
{
	struct saved_type saved;
	struct port *port;
	void *state;
	size_t len;
	bool is_used;

	if (!state_record_take(record, &saved, sizeof(saved)) || saved.zero || saved.type[TYPE_NAME_SIZE - 1])
		return false;
	port = state_port(l, saved.port);
	if (!port || !port->type->restore || strcmp(port_traits_names[port->cfg.type], saved.type) != 0)
		return false;
	len = record->left;
	state = malloc(len + !len); // aligned, unlike the record
	if (!state)
		return false;
	is_used = state_record_take(record, state, len) && !port->type->restore(port, state, len);
	free(state);
	return is_used;
}
