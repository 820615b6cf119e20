// A list of the states that types save, the newest first. It knows ports by their far end, which
// their configuration names, and never looks into a state: port_type.h says what that is.
#include "kept.h"

#include "dp_state.h"
#include "port_type.h"

#include <stdlib.h>
#include <string.h>

// The far end in a port's configuration. Texts that another type has are empty.
struct far_end {
	uint32_t type, vni;
	struct prefix remote;
	char socket[RTVS_PATH_SIZE], devargs[RTVS_DEVARGS_SIZE], path[RTVS_PATH_SIZE], uplink[RTVS_NAME_SIZE];
};

struct kept {
	struct kept *next;
	struct far_end far_end;
	size_t len;
	_Alignas(uint64_t) uint8_t state[];
};

static bool
is_same(const struct far_end *end, const struct dp_port_cfg *cfg)
{
	return end->type == cfg->type && end->vni == cfg->vni &&
		!memcmp(&end->remote, &cfg->remote, sizeof(end->remote)) && !strcmp(end->socket, cfg->socket) &&
		!strcmp(end->devargs, cfg->devargs) && !strcmp(end->path, cfg->path) &&
		!strcmp(end->uplink, cfg->uplink);
}

static struct far_end
far_end_of(const struct dp_port_cfg *cfg)
{
	struct far_end end = {.type = cfg->type, .vni = cfg->vni, .remote = cfg->remote};

	memcpy(end.socket, cfg->socket, sizeof(end.socket));
	memcpy(end.devargs, cfg->devargs, sizeof(end.devargs));
	memcpy(end.path, cfg->path, sizeof(end.path));
	memcpy(end.uplink, cfg->uplink, sizeof(end.uplink));
	return end;
}

// Where the port's state is linked; *result NULL: there is none.
static struct kept **
find(struct dp *dp, const struct dp_port_cfg *cfg)
{
	struct kept **at = &dp->kept;

	while (*at && !is_same(&(*at)->far_end, cfg))
		at = &(*at)->next;
	return at;
}

static void
forget(struct kept **at)
{
	struct kept *gone = *at;

	if (!gone)
		return;
	*at = gone->next;
	free(gone);
}

void
kept_save(struct dp *dp, const struct port *port)
{
	size_t len = port->type->save ? port->type->save(port, NULL, 0) : 0;
	struct kept *kept = len ? malloc(sizeof(*kept) + len) : NULL;
	struct kept **at = find(dp, &port->cfg);
	unsigned n = 0;

	forget(at);
	if (!kept)
		return;
	kept->far_end = far_end_of(&port->cfg);
	kept->len = port->type->save(port, kept->state, len);
	kept->next = dp->kept;
	dp->kept = kept;
	for (at = &dp->kept; *at && n < KEPT_MAX; at = &(*at)->next)
		n++;
	forget(at);
}

void
kept_restore(struct dp *dp, struct port *port)
{
	const struct kept *kept = *find(dp, &port->cfg);

	if (kept)
		(void)port->type->restore(port, kept->state, kept->len);
}

void
kept_forget_all(struct dp *dp)
{
	while (dp->kept)
		forget(&dp->kept);
}
