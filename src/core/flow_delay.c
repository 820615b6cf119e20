// The account of rtvs/flow_delay.h. The datapath adds decapsulated packets; the control plane takes
// reports and sends them. Invariants: every number up to top is counted once, as received, lost, or
// still open in `seen`. next holds exactly the packets since the last report. All is O(1).
#include "rtvs/flow_delay.h"

#include <stddef.h>

#define REPORT_CREDIT ((uint64_t)FLOW_DELAY_REPORT_BYTES * FLOW_DELAY_SHARE)

void
flow_delay_init(struct flow_delay *f, struct hist *delay, struct hist *network)
{
	*f = (struct flow_delay){.delay = delay, .network = network, .credit = FLOW_DELAY_BURST * REPORT_CREDIT};
}

// Numbers before this one count as come.
static void
start_at(struct flow_delay *f, uint64_t seq)
{
	f->has_top = true;
	f->top = seq;
	f->seen = UINT64_MAX;
	f->n_strays = 0;
}

// A number that does not fit: one of a run that will, or nothing.
static void
add_stray(struct flow_delay *f, uint64_t seq)
{
	f->n_strays = seq == f->stray_next ? f->n_strays + 1 : 1;
	f->stray_next = seq + 1;
	if (f->n_strays < FLOW_DELAY_RESTART_RUN)
		return;
	f->stats.restarts++;
	start_at(f, seq);
}

static uint64_t
ones(uint64_t word)
{
	return (uint64_t)__builtin_popcountll(word);
}

// Moves the window; what leaves it and has not come is lost.
static void
move_to(struct flow_delay *f, uint64_t seq)
{
	uint64_t step = seq - f->top, lost;

	if (step < FLOW_DELAY_WINDOW) {
		lost = step - ones(f->seen >> (FLOW_DELAY_WINDOW - step));
		f->seen = f->seen << step | 1;
	} else {
		lost = step - ones(f->seen);
		f->seen = 1;
	}
	f->top = seq;
	f->stats.lost += lost;
	f->next.lost += lost;
}

// False: it has come before.
static bool
add_seq(struct flow_delay *f, uint64_t seq)
{
	uint64_t behind = f->top - seq;

	if (!f->has_top) {
		start_at(f, seq);
	} else if (seq > f->top) {
		if (seq - f->top <= FLOW_DELAY_MAX_GAP)
			move_to(f, seq);
		else
			add_stray(f, seq);
	} else if (behind >= FLOW_DELAY_WINDOW) {
		f->stats.late++;
		add_stray(f, seq);
	} else if (f->seen >> behind & 1) {
		f->stats.duplicates++;
		add_stray(f, seq);
		return false;
	} else {
		f->stats.reordered++;
		f->seen |= UINT64_C(1) << behind;
	}
	return true;
}

static void
raise(uint64_t *value, uint64_t to)
{
	if (to > *value)
		*value = to;
}

// True: it missed its deadline. delay_ns: 0 at least.
static bool
is_missed(struct flow_delay *f, const struct flow_delay_packet *p, uint64_t delay_ns)
{
	if (!p->deadline_ns)
		return false;
	raise(&f->next.uncertainty_ns, p->uncertainty_ns);
	f->next.flags = 0;
	if (!flow_delay_can_judge(p->deadline_ns, p->uncertainty_ns)) {
		f->stats.unjudged++;
		f->next.flags = FLOW_DELAY_UNJUDGED;
		return false;
	}
	return delay_ns > p->deadline_ns && delay_ns - p->deadline_ns > p->uncertainty_ns;
}

static void
add_miss(struct flow_delay *f, const struct flow_delay_packet *p, uint64_t delay_ns, uint64_t network_ns)
{
	f->stats.missed++;
	f->next.missed++;
	f->next.last_seq = p->seq;
	raise(&f->stats.worst_over_ns, delay_ns - p->deadline_ns);
	raise(&f->next.worst_over_ns, delay_ns - p->deadline_ns);
	raise(&f->next.worst_network_ns, network_ns);
}

// Delays of packets in a row that are the same: a burst left at one time and came at one time.
struct delays {
	uint64_t delay_ns, network_ns, n;
};

static void
add_delays(struct flow_delay *f, const struct delays *d)
{
	if (!d->n)
		return;
	if (f->delay)
		hist_add_n(f->delay, d->delay_ns, d->n);
	if (f->network)
		hist_add_n(f->network, d->network_ns, d->n);
	raise(&f->stats.worst_network_ns, d->network_ns);
}

static void
add_packet(struct flow_delay *f, const struct flow_delay_packet *p, struct delays *run)
{
	uint64_t delay_ns = p->delay_ns > 0 ? (uint64_t)p->delay_ns : 0;
	uint64_t network_ns = delay_ns > p->residence_ns ? delay_ns - p->residence_ns : 0;

	if (!add_seq(f, p->seq))
		return;
	f->stats.received++;
	f->next.received++;
	f->credit += p->bytes;
	if (p->delay_ns < 0 && 0 - (uint64_t)p->delay_ns > p->uncertainty_ns)
		f->stats.impossible++;
	if (delay_ns != run->delay_ns || network_ns != run->network_ns) {
		add_delays(f, run);
		*run = (struct delays){delay_ns, network_ns, 0};
	}
	run->n++;
	if (is_missed(f, p, delay_ns))
		add_miss(f, p, delay_ns, network_ns);
	else if (!f->next.missed)
		f->next.last_seq = p->seq;
}

void
flow_delay_add(struct flow_delay *f, const struct flow_delay_packet *packets, uint32_t n_packets)
{
	struct delays run = {0};

	for (uint32_t i = 0; i < n_packets; i++)
		add_packet(f, &packets[i], &run);
	add_delays(f, &run);
	if (n_packets) {
		f->stats.deadline_ns = packets[n_packets - 1].deadline_ns;
		f->stats.uncertainty_ns = packets[n_packets - 1].uncertainty_ns;
	}
}

static enum flow_delay_state
state_of(const struct flow_delay_report *r)
{
	return r->missed ? FLOW_DELAY_MISSING : r->flags & FLOW_DELAY_UNJUDGED ? FLOW_DELAY_BLIND : FLOW_DELAY_CLEAN;
}

// Bytes that came, and a report each FLOW_DELAY_SLOW_NS.
static uint64_t
credit_at(const struct flow_delay *f, uint64_t now_ns)
{
	const uint64_t most = FLOW_DELAY_BURST * REPORT_CREDIT;
	uint64_t quiet_ns = f->has_told && now_ns > f->told_ns ? now_ns - f->told_ns : 0;
	uint64_t n_slow = quiet_ns / FLOW_DELAY_SLOW_NS;

	return n_slow >= FLOW_DELAY_BURST || f->credit >= most - n_slow * REPORT_CREDIT ?
		most :
		f->credit + n_slow * REPORT_CREDIT;
}

bool
flow_delay_wants_report(const struct flow_delay *f, uint64_t interval_ns, uint64_t now_ns)
{
	enum flow_delay_state state = state_of(&f->next);
	bool is_due = !f->has_told || (now_ns >= f->told_ns && now_ns - f->told_ns >= interval_ns);

	if (!f->next.received)
		return false;
	return is_due && credit_at(f, now_ns) >= REPORT_CREDIT &&
		(state == FLOW_DELAY_MISSING || state != f->told || f->n_repeats);
}

bool
flow_delay_take(struct flow_delay *f, struct flow_delay_report *ret_report, uint64_t now_ns)
{
	enum flow_delay_state state = state_of(&f->next);

	if (!f->next.received)
		return false;
	if (state == FLOW_DELAY_MISSING || state != f->told)
		f->n_repeats = FLOW_DELAY_REPEATS;
	if (state != FLOW_DELAY_MISSING && f->n_repeats)
		f->n_repeats--;
	f->credit = credit_at(f, now_ns);
	f->credit -= f->credit < REPORT_CREDIT ? f->credit : REPORT_CREDIT;
	f->told = state;
	f->told_ns = now_ns;
	f->has_told = true;
	*ret_report = f->next;
	f->next = (struct flow_delay_report){.received = 0};
	return true;
}
