// Members of core's structures by their names. The keys are not passed on: each process reads their
// files.
#include "peers_state.h"

#include "ctl.h"
#include "ctl_clock.h"
#include "peer.h"
#include "peer_answers.h"
#include "peer_clock.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#include <stddef.h>
#include <string.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))

// An integer, or an array of integers.
struct member {
	const char *name;
	size_t at;
	uint32_t size; // of one
	uint32_t n;
	bool is_bool;
};

#define IS_BOOL(x) _Generic((x), bool: true, default: false)
#define SIZE(type, member) sizeof(((struct type *)0)->member)
#define ONE(type, member) \
	{#member, offsetof(struct type, member), SIZE(type, member), 1, IS_BOOL(((struct type *)0)->member)}
#define ARRAY(type, member, of) \
	{#member, offsetof(struct type, member), sizeof(of), SIZE(type, member) / (sizeof(of)), IS_BOOL((of)0)}

static const struct member session_members[] = {ONE(peer_session, own), ONE(peer_session, peer), ONE(peer_session, seq),
	ONE(peer_session, top), ARRAY(peer_session, seen, uint64_t), ONE(peer_session, has_top),
	ONE(peer_session, owes_hello), ONE(peer_session, heard), ONE(peer_session, heard_key),
	ONE(peer_session, owed_ns), ONE(peer_session, probe_ns), ONE(peer_session, n_probes),
	ARRAY(peer_session, n_received, uint64_t)};

static const struct member clock_members[] = {ONE(clock_offset, is_known), ONE(clock_offset, base_ns),
	ARRAY(clock_offset, now, uint64_t), ARRAY(clock_offset, last, uint64_t), ONE(clock_offset, drift_lo_ppb),
	ONE(clock_offset, drift_hi_ppb), ARRAY(clock_offset, best, uint64_t), ARRAY(clock_offset, has_best, bool),
	ONE(clock_offset, n_taken), ONE(clock_offset, n_refused), ONE(clock_offset, n_bent),
	ONE(clock_offset, n_stepped)};

static const struct member count_members[] = {ONE(peer_counters, sent), ONE(peer_counters, unsent),
	ONE(peer_counters, reports), ONE(peer_counters, malformed), ONE(peer_counters, unknown_key),
	ONE(peer_counters, forged), ONE(peer_counters, steps)};

static const struct member control_members[] = {ONE(feedback, deadline_ns), ONE(feedback, step),
	ONE(feedback, is_missing), ONE(feedback, is_blind), ONE(feedback, is_escalated), ONE(feedback, last.received),
	ONE(feedback, last.lost), ONE(feedback, last.missed), ONE(feedback, last.worst_over_ns),
	ONE(feedback, last.worst_network_ns), ONE(feedback, last.uncertainty_ns), ONE(feedback, last.last_seq),
	ONE(feedback, last.flags), ONE(feedback, has_last), ONE(feedback, heard_ns), ONE(feedback, has_acted),
	ONE(feedback, is_settled), ONE(feedback, acted_ns), ONE(feedback, acted_seq), ONE(feedback, quiet_ns),
	ONE(feedback, n_shortened), ONE(feedback, level), ONE(feedback, has_safe), ONE(feedback, safe_deadline_ns),
	ONE(feedback, safe_step), ONE(feedback, stats.reports), ONE(feedback, stats.stale),
	ONE(feedback, stats.refused), ONE(feedback, stats.answered), ONE(feedback, stats.blind),
	ONE(feedback, stats.received), ONE(feedback, stats.lost), ONE(feedback, stats.missed),
	ARRAY(feedback, stats.events, uint64_t)};

// JSON's integers have a sign: of 64 bits all are kept.
static json_int_t
get(const uint8_t *at, uint32_t size)
{
	uint64_t value = 0;

	memcpy(&value, at, size); // little-endian, as all that DPDK's vhost runs on here
	return (json_int_t)value;
}

static void
put(uint8_t *at, const struct member *m, const json_t *json)
{
	uint64_t value = (uint64_t)json_integer_value(json);

	if (json_is_integer(json) && (m->size == 8 || !(value >> (8 * m->size))) && (!m->is_bool || value <= 1))
		memcpy(at, &value, m->size);
}

static json_t *
save(const void *object, const struct member *members, size_t n)
{
	json_t *json = json_object();

	for (const struct member *m = members; m < members + n; m++) {
		const uint8_t *at = (const uint8_t *)object + m->at;
		json_t *array;

		if (m->n == 1) {
			(void)json_object_set_new(json, m->name, json_integer(get(at, m->size)));
			continue;
		}
		array = json_array();
		for (uint32_t i = 0; i < m->n; i++)
			(void)json_array_append_new(array, json_integer(get(at + (size_t)i * m->size, m->size)));
		(void)json_object_set_new(json, m->name, array);
	}
	return json;
}

static void
load(void *object, const struct member *members, size_t n, const json_t *json)
{
	for (const struct member *m = members; m < members + n; m++) {
		const json_t *value = json_object_get(json, m->name);
		uint8_t *at = (uint8_t *)object + m->at;

		if (m->n == 1)
			put(at, m, value);
		else
			for (uint32_t i = 0; i < m->n; i++)
				put(at + (size_t)i * m->size, m, json_array_get(value, i));
	}
}

static json_t *
save_flow(const struct ctl *ctl, const struct peer_flow *flow)
{
	const struct model_port *port = model_port_at(ctl->plane.live, flow->port);
	const struct feedback_params *params = &flow->control.params;
	json_t *json;

	if (!port)
		return NULL;
	json = save(&flow->control, control_members, N(control_members));
	(void)json_object_set_new(json, "port", json_string(port->cfg.name));
	// For which deadline, and with how many steps.
	(void)json_object_set_new(json, "of_ns", json_integer((json_int_t)params->deadline_ns));
	(void)json_object_set_new(json, "steps", json_integer(params->n_steps));
	return json;
}

static json_t *
save_peer(const struct ctl *ctl, const struct peer *p)
{
	const struct model_port *uplink = model_port_at(ctl->plane.live, p->uplink);
	json_t *session = save(&p->session, session_members, N(session_members)), *flows = json_array();
	char addr[UNITS_TEXT_SIZE];

	(void)json_object_set_new(session, "key", json_integer(p->session.key[p->session.sends_with]));
	for (const struct peer_flow *flow = p->flows; flow; flow = flow->next) {
		json_t *json = save_flow(ctl, flow);

		if (json)
			(void)json_array_append_new(flows, json);
	}
	return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "uplink", uplink ? uplink->cfg.name : "", "address",
		units_format_prefix(&p->addr, addr), "rtt_ns", (json_int_t)p->rtt_ns, "session", session, "clock",
		save(&p->clock, clock_members, N(clock_members)), "count",
		save(&p->count, count_members, N(count_members)), "flows", flows);
}

json_t *
peers_state_save(const struct ctl *ctl)
{
	json_t *list = json_array();

	for (const struct peer *p = ctl->peers.list; list && p; p = p->next)
		(void)json_array_append_new(list, save_peer(ctl, p));
	return json_pack("{s:I, s:o}", "strangers", (json_int_t)ctl->peers.n_strangers, "peers", list);
}

static void
load_session(struct peer_session *s, const json_t *json)
{
	struct peer_session begun = *s;
	json_int_t key = json_integer_value(json_object_get(json, "key"));

	load(s, session_members, N(session_members), json);
	for (uint32_t i = 0; i < s->n_keys; i++)
		if (s->key[i] == key)
			s->sends_with = i;
	if (!peer_session_is_consistent(s))
		*s = begun;
}

static void
load_flow(struct ctl *ctl, struct peer *p, const json_t *json)
{
	const char *name = json_string_value(json_object_get(json, "port"));
	const struct model_port *port = name ? model_port_find(ctl->plane.live, name) : NULL;
	const struct model_port *tunnel = port ? peer_tunnel_for(ctl, p, port) : NULL;
	struct feedback *f = tunnel ? peer_answers_control(ctl, p, port) : NULL, begun;
	uint64_t sent;

	if (!f || json_integer_value(json_object_get(json, "of_ns")) != (json_int_t)f->params.deadline_ns ||
		json_integer_value(json_object_get(json, "steps")) != (json_int_t)f->params.n_steps)
		return;
	begun = *f;
	load(f, control_members, N(control_members), json);
	if (!feedback_is_consistent(f))
		*f = begun;
	// Packets of a port that was opened anew are numbered anew.
	sent = dp_flow_seq(ctl->plane.dp, tunnel->id, port->id);
	if ((f->has_last && f->last.last_seq > sent) || (f->has_acted && f->acted_seq > sent)) {
		f->has_last = false;
		feedback_ignore_until(f, sent, ctl_now_ns());
	}
}

static void
load_peer(struct ctl *ctl, const json_t *json)
{
	const char *name = json_string_value(json_object_get(json, "uplink"));
	const char *text = json_string_value(json_object_get(json, "address"));
	const struct model_port *uplink = name ? model_port_find(ctl->plane.live, name) : NULL;
	const json_t *rtt = json_object_get(json, "rtt_ns"), *flow;
	struct clock_offset begun;
	struct prefix addr;
	struct peer *p;
	size_t i;

	p = uplink && text && !units_parse_prefix(text, &addr) ? peer_find(ctl, uplink->id, &addr) : NULL;
	if (!p)
		return;
	load_session(&p->session, json_object_get(json, "session"));
	begun = p->clock;
	load(&p->clock, clock_members, N(clock_members), json_object_get(json, "clock"));
	if (!clock_offset_is_consistent(&p->clock))
		p->clock = begun;
	load(&p->count, count_members, N(count_members), json_object_get(json, "count"));
	if (json_is_integer(rtt) && json_integer_value(rtt) > 0)
		p->rtt_ns = (uint64_t)json_integer_value(rtt);
	json_array_foreach (json_object_get(json, "flows"), i, flow)
		load_flow(ctl, p, flow);
	peer_clock_tell(ctl, p);
}

void
peers_state_load(struct ctl *ctl, const json_t *state)
{
	const json_t *peer;
	size_t i;

	ctl->peers.n_strangers += (uint64_t)json_integer_value(json_object_get(state, "strangers"));
	json_array_foreach (json_object_get(state, "peers"), i, peer)
		load_peer(ctl, peer);
	peer_answers_apply(ctl);
}
