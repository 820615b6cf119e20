// Feedback on the receiver's side: the datapath's reports about flows through tunnels go to the
// peers that sent them.
#include "peer_reports.h"

#include "ctl.h"
#include "peer.h"
#include "peer_sessions.h"
#include "rtvs/peer_msg.h"

static uint32_t
clamp32(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static void
send_reports(struct ctl *ctl, struct peer *p, struct peer_msg *msg)
{
	if (msg->n_flows)
		(void)peer_sessions_send(ctl, p, msg);
	msg->n_flows = 0;
}

// One message to each peer, or more when it is full. Reports that may not be sent, or for which
// there is no peer, are lost, as any may be.
void
peer_reports_send(struct ctl *ctl)
{
	static struct peer_msg msg; // of one peer at a time: reports of a peer come in runs
	struct peer *to = NULL;
	struct dp_report r;

	msg = (struct peer_msg){.type = PEER_MSG_FEEDBACK};
	for (unsigned i = 0; i < 4 * PEER_MSG_MAX_FLOWS && dp_report_next(ctl->plane.dp, &r); i++) {
		const struct model_port *tunnel =
			r.tunnel < DP_MAX_PORTS ? ctl->plane.live->port_by_id[r.tunnel] : NULL;
		const struct model_port *uplink = tunnel ? model_port_find(ctl->plane.live, tunnel->cfg.uplink) : NULL;
		struct peer *p = uplink ? peer_find(ctl, uplink->id, &tunnel->cfg.remote) : NULL;

		if (!p)
			continue;
		if (to && (to != p || msg.n_flows == PEER_MSG_MAX_FLOWS))
			send_reports(ctl, to, &msg);
		to = p;
		msg.flows[msg.n_flows++] = (struct peer_msg_flow){.flow = r.flow,
			.flags = r.report.flags,
			.packets = clamp32(r.report.received),
			.lost = clamp32(r.report.lost),
			.missed = clamp32(r.report.missed),
			.worst_over_ns = clamp32(r.report.worst_over_ns),
			.worst_network_ns = clamp32(r.report.worst_network_ns),
			.uncertainty_ns = clamp32(r.report.uncertainty_ns),
			.last_seq = r.report.last_seq};
	}
	if (to)
		send_reports(ctl, to, &msg);
}
