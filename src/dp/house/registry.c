#include "registry.h"

#include "bridge.h"
#include "dp_state.h"

#include <string.h>

struct port *
registry_port(const struct dp *dp, const char *name)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i] && !strcmp(dp->port[i]->cfg.name, name))
			return dp->port[i];
	return NULL;
}

struct bridge *
registry_bridge(const struct dp *dp, const char *name)
{
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		if (dp->bridge[i] && !strcmp(dp->bridge[i]->cfg.name, name))
			return dp->bridge[i];
	return NULL;
}
