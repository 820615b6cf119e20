// Frames from guest to guest that leave as they came, or with a tunnel's headers before them, which
// are written where the frame's head was copied to. Frames of a burst with one source and one
// destination that follow each other are a run, which is decided at once. A frame that is not
// plain, or that the receiver does not take at once, is left to switch_burst, with all frames
// behind it that leave by the same queue: no frame overtakes another.
#include "pass.h"

#include "encap.h"
#include "io/guest_io.h"
#include "rtvs/frame.h"
#include "rtvs/frame_flow.h"
#include "rules.h"
#include "schedule.h"
#include "switch.h"

#include <string.h>

struct pass {
	struct worker *w;
	const struct view *view;
	struct switch_burst b;
	struct guest_frame *frame; // the burst
	uint32_t gone; // frames of it, as bits
	uint64_t bytes; // of these
	struct rule **rule; // of each frame, if its port has rules
};

// The frames of a run by the queues that they leave by, as transmit_steer has it. False: they
// cannot be told.
static bool
steer(const struct pass *p, unsigned first, unsigned n, uint32_t n_txq, uint32_t *ret_set)
{
	for (unsigned k = first; k < first + n; k++) {
		const struct guest_frame *f = &p->frame[k];

		// Else it is copied as a whole first, and steered by headers that are not here.
		if (f->n_pieces && !frame_has_all_headers(f->head, f->n_head))
			return false;
		ret_set[frame_flow_place(frame_flow_hash(f->head, f->n_head), n_txq)] |= UINT32_C(1) << k;
	}
	return true;
}

// Frames of a burst that leave by one queue. No CPU foretells where a loop over a few of them ends,
// so there is one to add them and one to deliver them.
struct lane {
	uint32_t set; // as bits
	uint16_t n;
	uint8_t which[PORT_BURST];
	uint32_t lens[PORT_BURST];
	uint64_t bytes;
};

static inline void
lane_begin(struct lane *lane, uint32_t set)
{
	lane->set = set;
	lane->n = 0;
	lane->bytes = 0;
}

static inline void
lane_add(const struct pass *p, struct lane *lane, unsigned k)
{
	lane->which[lane->n] = (uint8_t)k;
	lane->bytes += lane->lens[lane->n++] = p->frame[k].n_bytes;
}

// Through a tunnel; how many.
static __rte_noinline uint16_t
pass_tunnel(struct pass *p, const struct lane *lane)
{
	const struct switch_burst *b = &p->b;
	struct port_counters *c = &p->w->port[b->way.tunnel->uplink].c;
	uint64_t bytes = 0;
	uint16_t done;

	if (!encap_frames(p->w, p->view, b->dst_port, b->in_id, p->frame, lane->which, lane->n))
		return 0;
	done = guest_io_pass(b->way.device, 0, lane->which, lane->n);
	for (uint16_t k = 0; k < done; k++)
		bytes += p->frame[lane->which[k]].n_bytes;
	counters_add(&c->tx_pkts, done);
	counters_add(&c->tx_bytes, bytes);
	if (done < lane->n)
		encap_undo_frames(
			p->view, b->dst_port, b->in_id, p->frame, &lane->which[done], (uint16_t)(lane->n - done));
	return done;
}

static __rte_noinline void
count_rules(const struct pass *p, const struct lane *lane, uint16_t n)
{
	for (uint16_t k = 0, first; k < n;) {
		struct rule *rule = p->rule[lane->which[k]];
		uint64_t bytes = 0;

		for (first = k; k < n && p->rule[lane->which[k]] == rule; k++)
			bytes += lane->lens[k];
		rules_count(p->w, rule, k - first, bytes);
	}
}

// False: some are left.
static bool
pass_lane(struct pass *p, uint16_t queue, struct lane *lane)
{
	const struct switch_burst *b = &p->b;
	struct port_counters *c = &p->w->port[b->dst_port].c;
	uint32_t place = 0;
	uint16_t done;

	if (b->way.is_timed && !schedule_may_pass(p->w, p->view, b->dst_port, b->in_id, lane->n, lane->bytes, &place))
		return false;
	done = b->way.tunnel ? pass_tunnel(p, lane) : guest_io_pass(b->way.device, queue, lane->which, lane->n);
	for (uint16_t k = done; k < lane->n; k++) {
		lane->set &= ~(UINT32_C(1) << lane->which[k]);
		lane->bytes -= lane->lens[k];
	}
	if (b->way.is_timed && done)
		schedule_passed(p->w, p->view, b->dst_port, place, lane->lens, done);
	if (b->in->rules)
		count_rules(p, lane, done);
	counters_add(&c->tx_pkts, done);
	counters_add(&c->tx_bytes, lane->bytes);
	p->gone |= lane->set;
	p->bytes += lane->bytes;
	return done == lane->n;
}

static bool
pass_run(struct pass *p, unsigned first, unsigned n)
{
	uint32_t n_txq = atomic_load_explicit(&p->b.way.device->n_txq, memory_order_relaxed);
	uint32_t set[DP_MAX_QUEUES];
	struct lane lane;
	bool is_whole = true;

	if (p->b.way.tunnel && n_txq != 1) // whose queue depends on the headers
		return false;
	if (n_txq == 1) {
		lane_begin(&lane, (uint32_t)(((UINT64_C(1) << n) - 1) << first));
		for (unsigned k = first; k < first + n; k++)
			lane_add(p, &lane, k);
		return pass_lane(p, 0, &lane);
	}
	memset(set, 0, n_txq * sizeof(set[0]));
	if (!steer(p, first, n, n_txq, set))
		return false;
	for (uint32_t q = 0; q < n_txq; q++) {
		if (!set[q])
			continue;
		lane_begin(&lane, set[q]);
		for (uint32_t left = set[q]; left; left &= left - 1)
			lane_add(p, &lane, (unsigned)__builtin_ctz(left));
		is_whole &= pass_lane(p, (uint16_t)q, &lane);
	}
	return is_whole;
}

bool
pass_allows(const struct view_port *in)
{
	if (in->capture || in->trace || in->max_rate.rate)
		return false;
	return in->uplink ||
		(in->bridge && in->is_admin_up && in->takes_untagged && !in->is_mirror_target &&
			!(in->mirror & DP_MIRROR_RX));
}

uint32_t
pass_burst(struct worker *w, const struct view *view, uint16_t in, uint16_t first, uint16_t n, uint64_t *ret_bytes)
{
	struct rules_ahead ahead[PORT_BURST];
	struct rule *rule[PORT_BURST];
	struct pass p = {.w = w, .view = view, .b = switch_begin(w, view, in), .frame = guest_io_taken(), .rule = rule};

	if (p.b.in->rules)
		rules_look_ahead(w, p.b.in->rules, &p.frame[first], n, &ahead[first]);
	for (unsigned k = first, run; k < (unsigned)first + n; k += run) {
		run = switch_passes(&p.b, &p.frame[k], (uint16_t)(first + n - k), &ahead[k], &rule[k]);
		// What is staged for the port came before.
		if (!run || p.b.way.staged->n || !pass_run(&p, k, run))
			break;
	}
	*ret_bytes = p.bytes;
	return p.gone;
}
