#include "housekeeping.h"

#include "bridge.h"
#include "connector.h"
#include "dp_state.h"
#include "link_store.h"
#include "port_type.h"
#include "underlay.h"
#include "views.h"

void
housekeeping_ports(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i]) {
			dp->port[i]->type->housekeeping(dp->port[i]);
			bridge_forget_lost_link(dp, dp->port[i]);
		}
}

void
dp_housekeeping(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		if (dp->bridge[i])
			bridge_housekeeping(dp, i);
	link_store_turn(dp);
	housekeeping_ports(dp);
	underlay_housekeeping(dp);
	(void)views_publish(dp); // no memory for a view: the next change tells it
	connector_housekeeping(dp->connector);
}
