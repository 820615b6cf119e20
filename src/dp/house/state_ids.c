// Ids of ports. An id is the lowest free one, unless the port had another in the process before
// this one: then it gets that again, because other hosts know it.
// Invariant: a name wants one id, and an id is wanted by one name, whose port is not there yet.
#include "state_ids.h"

#include "port_end.h"
#include "state_names.h"
#include "stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct wanted_ids {
	unsigned n;
	struct port_set ids;
	char name[DP_MAX_PORTS][RTVS_NAME_SIZE]; // by id, if it is in the set
};

// DP_MAX_PORTS: it wants none.
static uint16_t
wanted_by(const struct dp *dp, const char *name)
{
	uint16_t id = 0;

	if (!dp->wanted_ids)
		return DP_MAX_PORTS;
	while (id < DP_MAX_PORTS && (!port_set_has(&dp->wanted_ids->ids, id) || strcmp(dp->wanted_ids->name[id], name)))
		id++;
	return id;
}

static bool
is_free(const struct dp *dp, uint16_t id)
{
	return !dp->port[id] && !port_end_has(dp, id);
}

static uint16_t
lowest(const struct dp *dp, const struct wanted_ids *but)
{
	uint16_t id = 0;

	while (id < DP_MAX_PORTS && (!is_free(dp, id) || (but && port_set_has(&but->ids, id))))
		id++;
	return id;
}

uint16_t
state_ids_next(const struct dp *dp, const char *name)
{
	uint16_t id = wanted_by(dp, name);

	if (id < DP_MAX_PORTS && is_free(dp, id))
		return id;
	id = lowest(dp, dp->wanted_ids);
	return id == DP_MAX_PORTS && dp->wanted_ids ? lowest(dp, NULL) : id;
}

bool
state_ids_has(const struct dp *dp, uint32_t id)
{
	return dp->wanted_ids && id < DP_MAX_PORTS && port_set_has(&dp->wanted_ids->ids, (uint16_t)id);
}

void
dp_state_end(struct dp *dp)
{
	for (uint16_t id = 0; id < DP_MAX_PORTS; id++)
		if (state_ids_has(dp, id))
			stats_retire_id(dp, id);
	state_ids_forget(dp);
}

void
state_ids_forget(struct dp *dp)
{
	free(dp->wanted_ids);
	dp->wanted_ids = NULL;
}

void
state_ids_got(struct dp *dp, const char *name)
{
	uint16_t id = wanted_by(dp, name);

	if (id == DP_MAX_PORTS)
		return;
	dp->wanted_ids->ids.bits[id / 64] &= ~(UINT64_C(1) << id % 64);
	if (!--dp->wanted_ids->n)
		state_ids_forget(dp);
}

int
dp_ids_want(struct dp *dp, const char *name, unsigned id)
{
	if (!name[0] || strlen(name) >= RTVS_NAME_SIZE || id >= DP_MAX_PORTS)
		return -EINVAL;
	if (registry_port(dp, name) || !is_free(dp, (uint16_t)id) || wanted_by(dp, name) != DP_MAX_PORTS ||
		(dp->wanted_ids && port_set_has(&dp->wanted_ids->ids, (uint16_t)id)))
		return -EEXIST;
	if (!dp->wanted_ids)
		dp->wanted_ids = calloc(1, sizeof(*dp->wanted_ids));
	if (!dp->wanted_ids)
		return -ENOMEM;
	port_set_add(&dp->wanted_ids->ids, (uint16_t)id);
	memcpy(dp->wanted_ids->name[id], name, strlen(name) + 1);
	dp->wanted_ids->n++;
	return 0;
}

int
dp_ids_save(struct dp *dp, uint8_t **buf, size_t *len)
{
	struct state_writer w = {.bytes = *buf, .len = *len, .room = *len};

	state_record_header(&w, clock_read_pair().ns);
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i])
			state_names_put(&w, STATE_PORT, i, dp->port[i]->cfg.name);
	state_record_begin(&w, STATE_END, 1);
	state_record_end(&w);
	*buf = w.bytes;
	if (!w.rc)
		*len = w.len;
	return w.rc;
}

int
dp_ids_load(struct dp *dp, const uint8_t *buf, size_t len, unsigned *ret_n)
{
	struct state_record record;
	struct state_reader r;
	uint64_t ignored;
	unsigned n = 0;
	int rc = state_record_open(&r, buf, len, &ignored);

	if (rc)
		return rc;
	while (state_record_next(&r, &record) && record.type != STATE_END) {
		char name[RTVS_NAME_SIZE];
		uint32_t number;

		if (record.type != STATE_PORT || record.version != STATE_NAMES_VERSION ||
			!state_names_take(&record, &number, name))
			continue;
		rc = dp_ids_want(dp, name, number);
		if (rc == -ENOMEM)
			return rc;
		n += !rc;
	}
	*ret_n = n;
	return 0;
}
