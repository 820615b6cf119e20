// The three stages of rtvs/feedback.h. The control plane passes reports in, and carries deadline
// and step to the datapath. Invariants: deadline_ns is from 1 to the flow's deadline, and grows by
// steps back alone. A raise or a shorter deadline undoes a step back, or answers misses of packets
// that were sent after the last such step. All is O(1).
#include "rtvs/feedback.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define MAX_DOUBLINGS 10u // of a shortening; 3.6e12 * 2^10 fits
#define RELAX_SHARE 8u // a step back of the deadline is at least this part of it

static uint64_t
min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t
add_saturating(uint64_t a, uint64_t b)
{
	return a <= UINT64_MAX - b ? a + b : UINT64_MAX;
}

struct feedback_params
feedback_params_default(uint64_t deadline_ns, uint32_t n_steps)
{
	return (struct feedback_params){.mode = FEEDBACK_ACT,
		.deadline_ns = deadline_ns,
		.n_steps = n_steps,
		.gain_permille = 1250,
		.margin_permille = 20,
		.floor_permille = 125,
		.clean_ns = SECOND,
		.clean_max_ns = 256 * SECOND,
		.forgive_ns = 60 * SECOND,
		.silence_ns = 10 * SECOND};
}

int
feedback_params_check(const struct feedback_params *p, const char **ret_field)
{
	const struct {
		const char *name;
		uint64_t value, min, max;
	} fields[] = {
		{"mode", p->mode, FEEDBACK_OFF, FEEDBACK_ACT},
		{"deadline", p->deadline_ns, 1, FEEDBACK_DEADLINE_MAX_NS},
		{"n_steps", p->n_steps, 1, FEEDBACK_MAX_STEPS},
		{"gain", p->gain_permille, 1, FEEDBACK_MAX_GAIN_PERMILLE},
		{"margin", p->margin_permille, 1, 1000},
		{"floor", p->floor_permille, 1, 1000},
		{"clean", p->clean_ns, FEEDBACK_TIME_MIN_NS, FEEDBACK_TIME_MAX_NS},
		{"clean_max", p->clean_max_ns, max(p->clean_ns, FEEDBACK_TIME_MIN_NS), FEEDBACK_TIME_MAX_NS},
		{"forgive", p->forgive_ns, FEEDBACK_TIME_MIN_NS, FEEDBACK_TIME_MAX_NS},
		{"silence", p->silence_ns, FEEDBACK_TIME_MIN_NS, FEEDBACK_TIME_MAX_NS},
	};

	for (unsigned i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (fields[i].value >= fields[i].min && fields[i].value <= fields[i].max)
			continue;
		*ret_field = fields[i].name;
		return -EINVAL;
	}
	return 0;
}

void
feedback_init(struct feedback *f, const struct feedback_params *params, uint64_t now_ns)
{
	const char *field;

	assert(!feedback_params_check(params, &field));
	(void)field;
	*f = (struct feedback){.params = *params, .deadline_ns = params->deadline_ns, .quiet_ns = now_ns};
}

void
feedback_ignore_until(struct feedback *f, uint64_t sent_seq, uint64_t now_ns)
{
	f->has_acted = f->is_settled = true;
	f->acted_ns = now_ns;
	f->acted_seq = sent_seq;
}

static enum feedback_event
note(struct feedback *f, enum feedback_event event)
{
	f->stats.events[event]++;
	return event;
}

// Permille of the deadline, at least 1 ns: 3.6e12 * 1000 fits.
static uint64_t
part_of_deadline(const struct feedback *f, uint32_t permille)
{
	return max(f->params.deadline_ns * permille / 1000, 1);
}

// The clean time: 3.6e12 * 2^20 fits.
static uint64_t
clean_time(const struct feedback *f)
{
	return min(f->params.clean_ns << f->level, f->params.clean_max_ns);
}

static void
slow_down(struct feedback *f)
{
	if (f->level < FEEDBACK_MAX_LEVEL && clean_time(f) < f->params.clean_max_ns)
		f->level++;
}

static enum feedback_event
act(struct feedback *f, enum feedback_event event, const struct feedback_path *path, uint64_t now_ns)
{
	f->has_acted = true;
	f->is_settled = false;
	f->acted_ns = now_ns;
	f->acted_seq = path->sent_seq;
	f->n_shortened = event == FEEDBACK_SHORTENED ? f->n_shortened + 1 : 0;
	f->has_safe = false;
	return note(f, event);
}

// The excess of the scheduling deadline. network_ns < the flow's deadline. The overshoot is limited
// to the deadline, so that the product is below 3.6e12 * 1e4.
static uint64_t
excess(const struct feedback *f, const struct flow_delay_report *r)
{
	uint64_t room_ns = f->params.deadline_ns - r->worst_network_ns;
	uint64_t by_room_ns = f->deadline_ns > room_ns ? f->deadline_ns - room_ns : 0;
	uint64_t by_gain_ns = min(r->worst_over_ns, f->params.deadline_ns) * f->params.gain_permille / 1000;
	uint64_t margin_ns = part_of_deadline(f, f->params.margin_permille) + r->uncertainty_ns;

	return (max(by_room_ns, by_gain_ns) + margin_ns) << min(f->n_shortened, MAX_DOUBLINGS);
}

static enum feedback_event
tighten(struct feedback *f, const struct flow_delay_report *r, const struct feedback_path *path, uint64_t now_ns)
{
	uint64_t floor_ns = max(part_of_deadline(f, f->params.floor_permille), path->floor_ns);
	bool has_room = r->worst_network_ns < f->params.deadline_ns &&
		f->params.deadline_ns - r->worst_network_ns >= floor_ns && f->deadline_ns > floor_ns;

	if (has_room) {
		uint64_t excess_ns = min(excess(f, r), f->deadline_ns - floor_ns);

		f->deadline_ns -= excess_ns;
		return act(f, FEEDBACK_SHORTENED, path, now_ns);
	}
	if (f->step + 1 < f->params.n_steps) {
		f->step++;
		return act(f, FEEDBACK_RAISED, path, now_ns);
	}
	if (f->is_escalated)
		return FEEDBACK_NONE;
	f->is_escalated = true;
	return note(f, FEEDBACK_ESCALATED);
}

// For misses after a step back: undoes the step, as far as admission still permits. FEEDBACK_NONE:
// there is no step to undo.
static enum feedback_event
undo(struct feedback *f, const struct feedback_path *path, uint64_t now_ns)
{
	uint64_t safe_ns = max(f->safe_deadline_ns, path->floor_ns);

	if (!f->has_safe)
		return FEEDBACK_NONE;
	f->has_safe = false;
	slow_down(f);
	if (f->safe_step > f->step) {
		f->step = f->safe_step;
		return act(f, FEEDBACK_RAISED, path, now_ns);
	}
	if (safe_ns >= f->deadline_ns)
		return FEEDBACK_NONE;
	f->deadline_ns = safe_ns;
	return act(f, FEEDBACK_SHORTENED, path, now_ns);
}

// Whether the report covers only packets from after the last step. The first report with one of
// them began before.
static bool
is_of_last_step(
	struct feedback *f, const struct flow_delay_report *r, const struct feedback_path *path, uint64_t now_ns)
{
	bool was_settled = !f->has_acted || f->is_settled;

	if (f->has_acted &&
		(r->last_seq <= f->acted_seq || now_ns < f->acted_ns || now_ns - f->acted_ns < path->rtt_ns))
		return false;
	f->is_settled = true;
	return was_settled;
}

// Misses of packets that knew of all that was done.
static enum feedback_event
answer_miss(struct feedback *f, const struct flow_delay_report *r, const struct feedback_path *path, uint64_t now_ns)
{
	enum feedback_event event = undo(f, path, now_ns);

	return event ? event : tighten(f, r, path, now_ns);
}

// False: it says nothing that is both possible and new.
static bool
take(struct feedback *f, const struct flow_delay_report *r, const struct feedback_path *path, uint64_t now_ns)
{
	if (!r->received || (path->sent_seq && r->last_seq > path->sent_seq)) {
		f->stats.refused++;
		return false;
	}
	if (f->has_last && r->last_seq <= f->last.last_seq) {
		f->stats.stale++;
		return false;
	}
	f->stats.reports++;
	f->stats.received += r->received;
	f->stats.lost += r->lost;
	f->stats.missed += r->missed;
	f->last = *r;
	f->has_last = true;
	f->heard_ns = now_ns;
	return true;
}

enum feedback_event
feedback_report(
	struct feedback *f, const struct flow_delay_report *report, const struct feedback_path *path, uint64_t now_ns)
{
	bool is_of_step;

	if (f->params.mode == FEEDBACK_OFF || !take(f, report, path, now_ns))
		return FEEDBACK_NONE;
	f->is_blind = (report->flags & FLOW_DELAY_UNJUDGED) ||
		!flow_delay_can_judge(f->params.deadline_ns, report->uncertainty_ns);
	if (f->is_blind) {
		f->stats.blind++;
		return FEEDBACK_NONE;
	}
	is_of_step = is_of_last_step(f, report, path, now_ns);
	if (report->missed || f->is_missing)
		f->quiet_ns = now_ns;
	f->is_missing = report->missed;
	if (!f->is_missing)
		f->n_shortened = 0;
	else if (!is_of_step)
		f->stats.answered++;
	else if (f->params.mode == FEEDBACK_ACT)
		return answer_miss(f, report, path, now_ns);
	return FEEDBACK_NONE;
}

static enum feedback_event
step_back(struct feedback *f, uint64_t now_ns)
{
	uint64_t missing_ns = f->params.deadline_ns - f->deadline_ns;

	if (f->has_safe && f->level)
		f->level--; // the last one was good
	f->has_safe = true;
	f->safe_deadline_ns = f->deadline_ns;
	f->safe_step = f->step;
	f->is_escalated = false;
	f->quiet_ns = now_ns;
	if (f->step)
		f->step--;
	else
		f->deadline_ns += min(missing_ns, max(missing_ns / 2, f->params.deadline_ns / RELAX_SHARE + 1));
	return note(f, feedback_is_at_start(f) ? FEEDBACK_RECOVERED : FEEDBACK_RELAXED);
}

// The remaining misses when all is as at the start.
static bool
is_forgiven(const struct feedback *f)
{
	return !f->level && !f->has_safe;
}

uint64_t
feedback_next_ns(const struct feedback *f)
{
	if (f->params.mode == FEEDBACK_OFF || f->is_blind)
		return UINT64_MAX;
	if (f->is_missing)
		return add_saturating(f->heard_ns, f->params.silence_ns);
	if (!feedback_is_at_start(f) || f->is_escalated)
		return add_saturating(f->quiet_ns, clean_time(f));
	return is_forgiven(f) ? UINT64_MAX : add_saturating(f->quiet_ns, f->params.forgive_ns);
}

enum feedback_event
feedback_poll(struct feedback *f, uint64_t now_ns)
{
	uint64_t next_ns = feedback_next_ns(f);

	if (next_ns == UINT64_MAX || now_ns < next_ns)
		return FEEDBACK_NONE;
	if (f->is_missing) {
		f->is_missing = false;
		f->n_shortened = 0;
		f->quiet_ns = now_ns;
		return FEEDBACK_NONE;
	}
	if (!feedback_is_at_start(f))
		return step_back(f, now_ns);
	if (f->is_escalated) {
		f->is_escalated = false;
		return note(f, FEEDBACK_RECOVERED);
	}
	f->has_safe = false;
	f->level -= f->level > 0;
	f->quiet_ns = now_ns;
	return FEEDBACK_NONE;
}

bool
feedback_is_consistent(const struct feedback *f)
{
	const struct feedback_params *p = &f->params;
	const char *field;

	if (feedback_params_check(p, &field) || !f->deadline_ns || f->deadline_ns > p->deadline_ns)
		return false;
	if (f->step >= p->n_steps || f->level > FEEDBACK_MAX_LEVEL ||
		(p->mode != FEEDBACK_ACT && !feedback_is_at_start(f)))
		return false;
	return !f->has_safe ||
		(f->safe_deadline_ns && f->safe_deadline_ns <= f->deadline_ns && f->safe_step >= f->step &&
			f->safe_step < p->n_steps);
}
