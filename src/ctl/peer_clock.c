// The time at a peer, and the datapath's parameters of the path to it. core's clock_offset decides;
// it learns from exchanges of clock requests and replies.
#include "peer_clock.h"

#include "ctl.h"
#include "peer.h"
#include "peer_sessions.h"
#include "rtvs/flow_delay.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#define ASK_CLOCK_NS UINT64_C(100000000)
#define REPORTS_MAX_INTERVAL_NS UINT64_C(100000000)

// The datapath's parameters of the path to the peer. More than two reports a round trip would
// describe the same packets.
void
peer_clock_tell(struct ctl *ctl, const struct peer *p)
{
	uint64_t uncertainty_ns = UINT64_MAX, interval_ns = p->rtt_ns / 2;
	int64_t offset_ns = 0;

	if (!clock_offset_at(&p->clock, dp_tai_ns(ctl->plane.dp), &offset_ns, &uncertainty_ns))
		uncertainty_ns = UINT64_MAX;
	if (interval_ns < FLOW_DELAY_INTERVAL_NS)
		interval_ns = FLOW_DELAY_INTERVAL_NS;
	if (interval_ns > REPORTS_MAX_INTERVAL_NS)
		interval_ns = REPORTS_MAX_INTERVAL_NS;
	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++) {
		const struct model_port *tunnel = ctl->plane.live->ports[i];

		if (!peer_is_tunnel_to(ctl, p, tunnel))
			continue;
		dp_tunnel_set_interval(ctl->plane.dp, tunnel->id, interval_ns);
		if (tunnel->cfg.clock == DP_CLOCK_PEER)
			dp_tunnel_set_clock(ctl->plane.dp, tunnel->id, offset_ns, uncertainty_ns);
	}
}

void
peer_clock_ask(struct ctl *ctl, struct peer *p, uint64_t now_ns)
{
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REQUEST};

	if (!peer_session_is_known(&p->session) || now_ns - p->asked_ns < ASK_CLOCK_NS)
		return;
	p->asked_ns = now_ns;
	p->asked_tai_ns = msg.t1_ns = dp_tai_ns(ctl->plane.dp);
	(void)peer_sessions_send(ctl, p, &msg);
}

void
peer_clock_answer(struct ctl *ctl, struct peer *p, const struct peer_msg *request, uint64_t received_ns)
{
	struct peer_msg msg = {.type = PEER_MSG_CLOCK_REPLY, .t1_ns = request->t1_ns, .t2_ns = received_ns};

	msg.t3_ns = dp_tai_ns(ctl->plane.dp);
	(void)peer_sessions_send(ctl, p, &msg);
}

void
peer_clock_take(struct ctl *ctl, struct peer *p, const struct peer_msg *msg, uint64_t received_ns)
{
	struct clock_offset_exchange x = {msg->t1_ns, msg->t2_ns, msg->t3_ns, received_ns};
	char addr[UNITS_TEXT_SIZE];
	enum clock_offset_result result;

	if (!p->asked_tai_ns || msg->t1_ns != p->asked_tai_ns)
		return;
	p->asked_tai_ns = 0;
	result = clock_offset_add(&p->clock, &x);
	if (result == CLOCK_OFFSET_STEPPED && p->clock.n_taken > 1) {
		p->count.steps++;
		log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PEER", units_format_prefix(&p->addr, addr)}),
			"peer %s: a clock was set", addr);
	}
	if (result != CLOCK_OFFSET_REFUSED)
		p->rtt_ns = received_ns - msg->t1_ns - (msg->t3_ns - msg->t2_ns);
	peer_clock_tell(ctl, p);
}

bool
peer_clock_offset(const struct ctl *ctl, unsigned uplink, const struct prefix *addr, int64_t *ret_offset_ns)
{
	const struct peer *p = peer_find(ctl, uplink, addr);
	uint64_t uncertainty_ns;

	return p && clock_offset_at(&p->clock, dp_tai_ns(ctl->plane.dp), ret_offset_ns, &uncertainty_ns);
}
