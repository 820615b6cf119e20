// Peers in results.
#include "peers_json.h"

#include "ctl.h"
#include "peer.h"
#include "peer_answers.h"
#include "rtvs/units.h"

static json_t *
flows_json(const struct ctl *ctl, const struct peer *p)
{
	json_t *list = json_array();

	for (const struct peer_flow *flow = p->flows; flow; flow = flow->next) {
		const struct feedback *f = &flow->control;
		const struct model_port *port = model_port_at(ctl->plane.live, flow->port);
		char deadline[UNITS_TEXT_SIZE];

		if (!port)
			continue;
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:I}", "port", port->cfg.name,
				"scheduling_deadline", units_format_time(f->deadline_ns, deadline), "step",
				(int)f->step, "dscp",
				peer_answers_shown_dscp(ctl, port, peer_tunnel_for(ctl, p, port), f->step), "escalated",
				f->is_escalated, "reports", (json_int_t)f->stats.reports, "missed",
				(json_int_t)f->stats.missed, "shortened",
				(json_int_t)f->stats.events[FEEDBACK_SHORTENED], "raised",
				(json_int_t)f->stats.events[FEEDBACK_RAISED], "recovered",
				(json_int_t)f->stats.events[FEEDBACK_RECOVERED]));
	}
	return list;
}

json_t *
peers_json(const struct ctl *ctl)
{
	json_t *list = json_array();

	for (const struct peer *p = ctl->peers.list; p; p = p->next) {
		const struct model_port *uplink = ctl->plane.live->port_by_id[p->uplink];
		const uint64_t *verdicts = p->session.n_received;
		char addr[UNITS_TEXT_SIZE];
		uint64_t uncertainty_ns = 0;
		int64_t offset_ns = 0;
		bool is_clock_known = clock_offset_at(&p->clock, dp_tai_ns(ctl->plane.dp), &offset_ns, &uncertainty_ns);

		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
				  "s:I, s:I, s:o}",
				"uplink", uplink ? uplink->cfg.name : "", "address",
				units_format_prefix(&p->addr, addr), "known", peer_session_is_known(&p->session),
				"clock_known", is_clock_known, "offset_ns", (json_int_t)offset_ns, "uncertainty_ns",
				(json_int_t)uncertainty_ns, "rtt_ns", (json_int_t)p->rtt_ns, "clock_steps",
				(json_int_t)p->count.steps, "sent", (json_int_t)p->count.sent, "unsent",
				(json_int_t)p->count.unsent, "accepted", (json_int_t)verdicts[PEER_SESSION_ACCEPTED],
				"replayed",
				(json_int_t)(verdicts[PEER_SESSION_REPLAYED] + verdicts[PEER_SESSION_STALE]),
				"elsewhere", (json_int_t)verdicts[PEER_SESSION_ELSEWHERE], "limited",
				(json_int_t)verdicts[PEER_SESSION_LIMITED], "malformed", (json_int_t)p->count.malformed,
				"unknown_key", (json_int_t)p->count.unknown_key, "forged", (json_int_t)p->count.forged,
				"reports", (json_int_t)p->count.reports, "flows", flows_json(ctl, p)));
	}
	return list;
}
