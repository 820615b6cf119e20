// Names in a state. All other records have the numbers of ports and bridges that the saving
// datapath gave; these records say by which names the loading one finds its own. Invariant: a
// number has one name, and a port one number.
#include "state_names.h"

#include "bridge.h"
#include "registry.h"

#include <string.h>

void
state_names_put(struct state_writer *w, enum state_type type, uint32_t number, const char *name)
{
	state_record_begin(w, (uint16_t)type, STATE_NAMES_VERSION);
	state_record_put(w, &number, sizeof(number));
	state_record_put(w, name, strlen(name));
	state_record_end(w);
}

bool
state_names_take(struct state_record *record, uint32_t *ret_number, char ret_name[RTVS_NAME_SIZE])
{
	uint32_t number;
	size_t len;

	if (!state_record_take(record, &number, sizeof(number)))
		return false;
	len = record->left;
	if (!len || len >= RTVS_NAME_SIZE || memchr(record->at, '\0', len))
		return false;
	*ret_number = number;
	memset(ret_name, 0, RTVS_NAME_SIZE);
	return state_record_take(record, ret_name, len);
}

void
state_names_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_BRIDGES; i++)
		if (s->dp->bridge[i])
			state_names_put(&s->out, STATE_BRIDGE, i, s->dp->bridge[i]->cfg.name);
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++)
		if (s->dp->port[i])
			state_names_put(&s->out, STATE_PORT, i, s->dp->port[i]->cfg.name);
}

bool
state_names_load_port(struct state_load *l, struct state_record *record)
{
	char name[RTVS_NAME_SIZE];
	struct port *port;
	uint32_t number;

	if (!state_names_take(record, &number, name) || number >= DP_MAX_PORTS ||
		port_set_has(&l->named, (uint16_t)number))
		return false;
	port_set_add(&l->named, (uint16_t)number);
	port = registry_port(l->dp, name);
	if (!port || port_set_has(&l->taken, port->path.id))
		return false;
	port_set_add(&l->taken, port->path.id);
	l->port[number] = port;
	return true;
}

bool
state_names_load_bridge(struct state_load *l, struct state_record *record)
{
	char name[RTVS_NAME_SIZE];
	struct bridge *bridge;
	uint32_t number;

	if (!state_names_take(record, &number, name) || number >= DP_MAX_BRIDGES || l->bridge[number])
		return false;
	bridge = registry_bridge(l->dp, name);
	for (unsigned i = 0; bridge && i < DP_MAX_BRIDGES; i++)
		if (l->bridge[i] == bridge)
			return false;
	l->bridge[number] = bridge;
	return bridge;
}
