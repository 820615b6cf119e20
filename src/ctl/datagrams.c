// Datagrams of other hosts to the daemon itself, through uplinks. STAMP test packets are reflected
// where the port says so.
#include "datagrams.h"

#include "ctl.h"
#include "peer_reports.h"
#include "rtvs/peer_msg.h"
#include "rtvs/stamp.h"

#define MAX_AT_ONCE 256 // the loop has other work, too; what is left makes it ready again

// A reply may go to any sender: it is as long as the request, and the datapath limits how many
// come.
static void
reflect(struct ctl *ctl, const struct model_port *uplink, struct dp_datagram *d)
{
	struct stamp_reply reply = {.clock = {.format = STAMP_PTP, .error_ns = STAMP_ERROR_MAX_NS},
		.received_ns = d->time_ns,
		.request_ttl = d->hop_limit};
	struct stamp_request request;
	uint16_t from_port = d->from_port;

	if (!uplink->cfg.stamp || stamp_request_decode(d->data, d->len, 0, d->time_ns, &request))
		return;
	reply.seq = request.seq;
	reply.sent_ns = dp_tai_ns(ctl->plane.dp);
	(void)stamp_reflect(d->data, d->len, &reply, 0);
	d->to = d->from;
	d->from_port = d->to_port;
	d->to_port = from_port;
	d->hop_limit = STAMP_HOP_LIMIT;
	(void)dp_datagram_send(ctl->plane.dp, d, 0);
}

void
datagrams_drain(struct ctl *ctl)
{
	struct dp_datagram d;

	peer_reports_send(ctl);
	for (unsigned i = 0; i < MAX_AT_ONCE && dp_datagram_next(ctl->plane.dp, &d); i++) {
		const struct model_port *uplink =
			d.uplink < DP_MAX_PORTS ? ctl->plane.live->port_by_id[d.uplink] : NULL;

		if (uplink && d.to_port == STAMP_PORT)
			reflect(ctl, uplink, &d);
		else if (uplink && d.to_port == PEER_MSG_PORT)
			peers_receive(ctl, &d);
		else if (uplink && d.to_port == PROBES_PORT)
			probes_receive(ctl, &d);
	}
}
