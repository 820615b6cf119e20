#include "dp_state.h"
#include "tunnel.h"
#include "underlay.h"
#include "views.h"

#define POLL_BURST 64 // frames taken in one call

bool
dp_datagram_next(struct dp *dp, struct dp_datagram *ret_datagram)
{
	bool is_taken = false;
	struct rte_mbuf *m;

	tunnel_housekeeping(dp);
	for (unsigned i = 0; i < POLL_BURST && !is_taken && mailbox_take(&dp->env.punt, &m, 1); i++) {
		uint16_t id = m->port;
		struct port *uplink = id < DP_MAX_PORTS ? dp->port[id] : NULL;

		if (uplink && uplink->underlay && uplink->cfg.address.len)
			is_taken = underlay_take(dp, uplink, m, ret_datagram);
		pkt_free(m);
	}
	(void)views_publish(dp); // no memory for a view: the next change tells it
	return is_taken;
}
