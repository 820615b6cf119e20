// Feedback on the sender's side. For each flow with a deadline that a peer reports on, core's
// feedback decides. Its decisions become deadlines and DSCPs of the datapath, events and lines of
// the log here.
#include "peer_answers.h"

#include "admit.h"
#include "ctl.h"
#include "ctl_clock.h"
#include "peer.h"
#include "rtvs/dscp.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#include <stdlib.h>
#include <string.h>

#define DSCP_EF 46

// The DSCPs that a flow may climb: its own, then assured forwarding and expedited forwarding (RFC
// 2597, RFC 3246). The latter is for packets within a rate, so that a raise is no weapon: without a
// min_rate there is none.
static uint32_t
ladder_of(const struct ctl *ctl, const struct dp_port_cfg *cfg, uint8_t ret_steps[FEEDBACK_MAX_STEPS])
{
	static const uint8_t higher[] = {18, 26, 34, DSCP_EF}; // AF21, AF31, AF41
	struct dscp_table table;
	char wrong[DSCP_ERR_SIZE];
	uint8_t base = DSCP_KEEP;
	uint32_t n = 1;

	if (!dscp_parse(ctl->plane.live->system.dscp_classes, &table, wrong))
		base = dscp_find(&table, cfg->deadline_ns);
	ret_steps[0] = base;
	for (unsigned i = 0; i < sizeof(higher); i++)
		if ((base == DSCP_KEEP || higher[i] > base) && (higher[i] != DSCP_EF || cfg->min_rate_bps))
			ret_steps[n++] = higher[i];
	// A controller may be further up than a ladder that has become shorter since.
	for (uint32_t i = n; i < FEEDBACK_MAX_STEPS; i++)
		ret_steps[i] = ret_steps[n - 1];
	return n;
}

struct answer {
	uint64_t deadline_ns;
	uint8_t dscp, excess; // DSCP_KEEP: the deadline's class
};

// Of all peers that a port sends to, the one in the greatest need counts.
static struct answer
answer_of(const struct ctl *ctl, const struct model_port *port)
{
	struct answer a = {.deadline_ns = port->cfg.deadline_ns, .dscp = DSCP_KEEP, .excess = DSCP_KEEP};
	uint8_t steps[FEEDBACK_MAX_STEPS];
	uint32_t step = 0;

	(void)ladder_of(ctl, &port->cfg, steps);
	for (const struct peer *p = ctl->peers.list; p; p = p->next) {
		const struct feedback *f = peer_control(p, port->id);

		if (!f || f->params.mode != FEEDBACK_ACT)
			continue;
		a.deadline_ns = f->deadline_ns < a.deadline_ns ? f->deadline_ns : a.deadline_ns;
		step = f->step > step ? f->step : step;
	}
	if (step) {
		a.dscp = steps[step];
		a.excess = a.dscp == DSCP_EF ? steps[step - 1] : a.dscp;
	}
	return a;
}

static void
apply(struct ctl *ctl, const struct model_port *port)
{
	struct answer a = answer_of(ctl, port);

	if (dp_port_set_answer(ctl->plane.dp, port->id, a.deadline_ns == port->cfg.deadline_ns ? 0 : a.deadline_ns,
		    a.dscp, a.excess))
		log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"PORT", port->cfg.name}, {"DOMAIN", port->cfg.domain}),
			"port %s: no memory to answer feedback", port->cfg.name);
}

void
peer_answers_apply(struct ctl *ctl)
{
	for (unsigned i = 0; i < ctl->plane.live->n_ports; i++)
		apply(ctl, ctl->plane.live->ports[i]);
}

uint8_t
peer_answers_dscp(const struct ctl *ctl, const struct model_port *port)
{
	struct answer a = answer_of(ctl, port);
	uint8_t steps[FEEDBACK_MAX_STEPS];

	(void)ladder_of(ctl, &port->cfg, steps);
	return a.dscp == DSCP_KEEP ? steps[0] : a.dscp;
}

int
peer_answers_shown_dscp(
	const struct ctl *ctl, const struct model_port *port, const struct model_port *tunnel, uint32_t step)
{
	uint8_t steps[FEEDBACK_MAX_STEPS];

	(void)ladder_of(ctl, &port->cfg, steps);
	return tunnel && tunnel->cfg.dscp == DP_DSCP_DEADLINE && steps[step] != DSCP_KEEP ? steps[step] : -1;
}

// The controller's steps that an operator acts upon: no step is left on this host, and all is well
// again.
static void
log_feedback(struct ctl *ctl, const struct peer *p, const struct model_port *port, enum feedback_event event)
{
	char addr[UNITS_TEXT_SIZE];
	const char *peer = units_format_prefix(&p->addr, addr);

	if (event == FEEDBACK_ESCALATED)
		events_log(ctl, port->id, LOG_LEVEL_WARNING,
			LOG_ABOUT(LOG_ID_FLOW_ESCALATED, {"PORT", port->cfg.name}, {"DOMAIN", port->cfg.domain},
				{"PEER", peer}),
			"port %s: its packets are late at peer %s, and nothing is left to do here", port->cfg.name,
			peer);
	else if (event == FEEDBACK_RECOVERED)
		events_log(ctl, port->id, LOG_LEVEL_INFO,
			LOG_ABOUT(LOG_ID_FLOW_RECOVERED, {"PORT", port->cfg.name}, {"DOMAIN", port->cfg.domain},
				{"PEER", peer}),
			"port %s: its packets are in time at peer %s again", port->cfg.name, peer);
}

static void
on_feedback(struct ctl *ctl, const struct peer *p, const struct model_port *port, enum feedback_event event)
{
	static const char *const names[FEEDBACK_EVENTS] = {
		NULL, "flow.shortened", "flow.raised", "flow.escalated", "flow.relaxed", "flow.recovered"};
	const struct model_port *tunnel = peer_tunnel_for(ctl, p, port);
	const struct model_port *uplink = ctl->plane.live->port_by_id[p->uplink];
	const struct feedback *f = peer_control(p, port->id);
	char addr[UNITS_TEXT_SIZE], own[UNITS_TEXT_SIZE];

	if (event == FEEDBACK_NONE || !tunnel || !uplink)
		return;
	apply(ctl, port);
	log_feedback(ctl, p, port, event);
	events_emit(ctl, names[event],
		json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:i, s:i, s:I, s:I, s:I}", "port", port->cfg.name,
			"peer", units_format_prefix(&p->addr, addr), "tunnel", tunnel->cfg.name, "vni",
			(json_int_t)tunnel->cfg.vni, "address", units_format_prefix(&uplink->cfg.address, own),
			"deadline_ns", (json_int_t)port->cfg.deadline_ns, "scheduling_deadline_ns",
			(json_int_t)f->deadline_ns, "step", (int)f->step, "dscp",
			peer_answers_shown_dscp(ctl, port, tunnel, f->step), "missed", (json_int_t)f->last.missed,
			"worst_over_ns", (json_int_t)f->last.worst_over_ns, "worst_network_ns",
			(json_int_t)f->last.worst_network_ns));
}

// In order of their ids. NULL: no memory.
static struct feedback *
add_control(struct peer *p, unsigned port)
{
	struct peer_flow **at = &p->flows, *flow = calloc(1, sizeof(*flow));

	if (!flow)
		return NULL;
	while (*at && (*at)->port < port)
		at = &(*at)->next;
	flow->next = *at;
	flow->port = port;
	*at = flow;
	return &flow->control;
}

struct feedback *
peer_answers_control(struct ctl *ctl, struct peer *p, const struct model_port *port)
{
	struct feedback *f = peer_control(p, port->id);
	uint8_t steps[FEEDBACK_MAX_STEPS];
	uint32_t n = ladder_of(ctl, &port->cfg, steps);
	const struct model_port *tunnel;
	struct feedback_params params;
	bool is_new;

	if (!port->cfg.deadline_ns)
		return NULL;
	if (f && f->params.deadline_ns == port->cfg.deadline_ns && f->params.n_steps == n &&
		(uint32_t)f->params.mode == port->cfg.feedback)
		return f;
	is_new = !f;
	if (is_new)
		f = add_control(p, port->id);
	if (!f)
		return NULL;
	params = feedback_params_default(port->cfg.deadline_ns, n);
	params.mode = (enum feedback_mode)port->cfg.feedback;
	feedback_init(f, &params, ctl_now_ns());
	tunnel = peer_tunnel_for(ctl, p, port);
	if (!is_new && tunnel)
		feedback_ignore_until(f, dp_flow_seq(ctl->plane.dp, tunnel->id, port->id), ctl_now_ns());
	apply(ctl, port);
	return f;
}

void
peer_answers_take(struct ctl *ctl, struct peer *p, const struct peer_msg_flow *r)
{
	const struct model_port *port = r->flow < DP_MAX_PORTS ? ctl->plane.live->port_by_id[r->flow] : NULL;
	const struct model_port *tunnel = port ? peer_tunnel_for(ctl, p, port) : NULL;
	struct feedback *f = tunnel ? peer_answers_control(ctl, p, port) : NULL;
	struct flow_delay_report report = {.received = r->packets,
		.lost = r->lost,
		.missed = r->missed,
		.worst_over_ns = r->worst_over_ns,
		.worst_network_ns = r->worst_network_ns,
		.uncertainty_ns = r->uncertainty_ns,
		.last_seq = r->last_seq,
		.flags = r->flags};
	struct feedback_path path = {.rtt_ns = p->rtt_ns};

	p->count.reports++;
	if (!f)
		return;
	path.sent_seq = dp_flow_seq(ctl->plane.dp, tunnel->id, port->id);
	path.floor_ns = r->missed ? admit_floor_ns(ctl->plane.live, &port->cfg) : 0;
	on_feedback(ctl, p, port, feedback_report(f, &report, &path, ctl_now_ns()));
}

void
peer_answers_poll(struct ctl *ctl, struct peer *p)
{
	for (struct peer_flow **at = &p->flows, *flow; (flow = *at);) {
		const struct model_port *port = model_port_at(ctl->plane.live, flow->port);

		if (port && peer_answers_control(ctl, p, port) == &flow->control) {
			on_feedback(ctl, p, port, feedback_poll(&flow->control, ctl_now_ns()));
			at = &flow->next;
			continue;
		}
		// The port went, or has no deadline any more.
		*at = flow->next;
		free(flow);
		if (port)
			apply(ctl, port);
	}
}
