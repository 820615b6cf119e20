// Limits of ports in a state: until when each is paid for, so that no process grants again what the
// one before it has granted, and feedback's answer to what the port sends.
#include "state_limits.h"

// Of a limit's largest unit at the lowest rate: a super-frame at 8 kbit/s.
#define DEBT_MAX_NS UINT64_C(70000000000)

struct saved_limits {
	uint32_t port, zero;
	// Times until which all is paid, in parts of a nanosecond (rtvs/rate.h), less that of the
	// state.
	int64_t max_rate, flood, raised;
	uint64_t deadline_ns; // feedback's, 0: as configured
	uint32_t dscp, excess; // DSCP_KEEP: as configured
};

int64_t
state_limits_save_paid(const struct state_save *s, const uint64_t *paid)
{
	return (int64_t)(__atomic_load_n(paid, __ATOMIC_RELAXED) - s->now_ns * RATE_LIMIT_PARTS);
}

void
state_limits_save(struct state_save *s)
{
	for (uint32_t i = 0; i < DP_MAX_PORTS; i++) {
		const struct port_path *path = s->dp->port[i] ? &s->dp->port[i]->path : NULL;
		struct port_answer answer;
		struct saved_limits saved;

		if (!path)
			continue;
		answer = port_answer(atomic_load(&path->answer));
		saved = (struct saved_limits){.port = i,
			.max_rate = state_limits_save_paid(s, &path->paid.max_rate),
			.flood = state_limits_save_paid(s, &path->paid.flood),
			.raised = state_limits_save_paid(s, &path->paid.raised),
			.deadline_ns = answer.deadline_ns,
			.dscp = answer.dscp,
			.excess = answer.excess};
		state_record_begin(&s->out, STATE_LIMITS, 1);
		state_record_put(&s->out, &saved, sizeof(saved));
		state_record_end(&s->out);
	}
}

void
state_limits_load_paid(const struct state_load *l, const struct rate_limit *limit, uint64_t *paid, int64_t saved)
{
	uint64_t saved_at_ns = l->now_ns > l->passed_ns ? l->now_ns - l->passed_ns : 0;
	int64_t most = (int64_t)(limit->burst_ns + DEBT_MAX_NS) * RATE_LIMIT_PARTS;
	int64_t at = (int64_t)(saved_at_ns * RATE_LIMIT_PARTS) + RTE_MIN(RTE_MAX(saved, -(INT64_C(1) << 62)), most);

	if (limit->rate)
		__atomic_store_n(paid, (uint64_t)RTE_MAX(at, 0), __ATOMIC_RELAXED);
}

bool
state_limits_load(struct state_load *l, struct state_record *record)
{
	struct saved_limits saved;
	const struct view_port *vp;
	struct port *port;

	if (!state_take_all(record, &saved, sizeof(saved)) || saved.zero || saved.deadline_ns > DP_DEADLINE_MAX_NS ||
		(saved.dscp > DSCP_MAX && saved.dscp != DSCP_KEEP) ||
		(saved.excess > DSCP_MAX && saved.excess != DSCP_KEEP))
		return false;
	port = state_port(l, saved.port);
	if (!port)
		return false;
	vp = view_port(atomic_load(&l->dp->env.view), port->path.id);
	state_limits_load_paid(l, &vp->max_rate, &port->path.paid.max_rate, saved.max_rate);
	state_limits_load_paid(l, &vp->flood, &port->path.paid.flood, saved.flood);
	state_limits_load_paid(l, &vp->raised, &port->path.paid.raised, saved.raised);
	atomic_store(&port->path.answer,
		port_answer_word(&(struct port_answer){.deadline_ns = saved.deadline_ns,
			.dscp = (uint8_t)saved.dscp,
			.excess = (uint8_t)saved.excess}));
	return true;
}
