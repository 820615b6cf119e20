// The sender's reaction to a receiver's reports about one flow: how soon the flow's packets have to
// leave (the scheduling deadline), and with which step of a ladder of DSCPs the network sees them.
// Three stages:
//   1. Late packets spent time in the scheduler: the scheduling deadline becomes shorter by gain *
//      overshoot, and not longer than the part of the deadline that the network leaves. The change
//      doubles each time in a row, down to a floor. A margin and the uncertainty of the delays are
//      added: packets late by less than that are not reported.
//   2. The network alone leaves less than the floor, or the floor is reached: the next step of the
//      ladder.
//   3. Misses continue on the last step: the event FEEDBACK_ESCALATED, once. Others (an SDN
//      controller) have to help. A step is judged by packets that were sent after it. So the first
//      report of such a packet (by its number) changes nothing yet, since it covers packets from
//      before, too. Earlier reports change nothing either: one within a round trip of the step, one
//      that came twice, or one out of order.
//
// Recovery: after a clean time one step back, the ladder first, then the deadline by half of the
// difference. If misses return, the state before that step returns at once, and the clean time
// doubles, up to a limit: under constant load the state is tried ever more rarely. The clean time
// halves with each step that proves good, and for a long clean time without any step.
//
// Pure, integers, no allocation; one thread. Times are ns on one monotonic clock of the caller.
#pragma once

#include "rtvs/flow_delay.h"

#include <stdbool.h>
#include <stdint.h>

#define FEEDBACK_DEADLINE_MAX_NS UINT64_C(3600000000000) // 1 h, as the scheduler's
#define FEEDBACK_TIME_MAX_NS UINT64_C(3600000000000)
#define FEEDBACK_TIME_MIN_NS UINT64_C(1000000)
#define FEEDBACK_MAX_STEPS 8u
#define FEEDBACK_MAX_GAIN_PERMILLE 10000u
#define FEEDBACK_MAX_LEVEL 20u

enum feedback_mode {
	FEEDBACK_OFF, // reports are not looked at
	FEEDBACK_MEASURE, // they are counted, nothing changes
	FEEDBACK_ACT,
};

struct feedback_params {
	enum feedback_mode mode;
	// End to end, 1 to FEEDBACK_DEADLINE_MAX_NS; the first scheduling deadline.
	uint64_t deadline_ns;
	uint32_t n_steps; // of the ladder, the default one included: 1 to FEEDBACK_MAX_STEPS
	uint32_t gain_permille; // of the overshoot, 1 to FEEDBACK_MAX_GAIN_PERMILLE
	uint32_t margin_permille; // of the deadline, in addition: 1 to 1000
	uint32_t floor_permille; // of the deadline: 1 to 1000
	// FEEDBACK_TIME_MIN_NS to FEEDBACK_TIME_MAX_NS:
	uint64_t clean_ns, clean_max_ns; // before a step back: at first, and at most
	uint64_t forgive_ns; // back at the start and clean: one doubling less
	uint64_t silence_ns; // without a word after misses: taken for clean
};

enum feedback_event {
	FEEDBACK_NONE,
	FEEDBACK_SHORTENED, // deadline_ns
	FEEDBACK_RAISED, // step
	FEEDBACK_ESCALATED, // nothing is left to do here
	FEEDBACK_RELAXED, // deadline_ns or step, towards the start
	FEEDBACK_RECOVERED, // relaxed, and back at the start; or there, and no longer escalated
	FEEDBACK_EVENTS,
};

// The sender's knowledge when a report comes.
struct feedback_path {
	// Of the flow's last packet that left, plus the queued ones: later packets are affected by
	// a change made now. 0: not known.
	uint64_t sent_seq;
	uint64_t rtt_ns;
	uint64_t floor_ns; // shortest scheduling deadline that admission grants the flow
};

struct feedback_stats {
	uint64_t reports; // that were looked at
	uint64_t stale; // not later than one before
	uint64_t refused; // of packets that were never sent, or of none
	uint64_t answered; // with misses, not yet of the last step
	uint64_t blind; // not judged
	uint64_t received, lost, missed; // packets
	uint64_t events[FEEDBACK_EVENTS];
};

struct feedback {
	struct feedback_params params;
	uint64_t deadline_ns; // for the scheduler
	uint32_t step; // of the ladder, 0: default
	bool is_missing; // by the last report
	bool is_blind; // the last report could not judge
	bool is_escalated;

	struct flow_delay_report last; // report that was looked at, if has_last
	bool has_last;
	uint64_t heard_ns; // when it came
	bool has_acted, is_settled; // settled: reports cover only packets from after the last step
	uint64_t acted_ns, acted_seq; // of that step, a shortening or a raise
	uint64_t quiet_ns; // since when nothing was missed or changed
	uint32_t n_shortened; // in a row
	uint32_t level; // clean time is clean_ns << level
	bool has_safe; // the last change was a step back, from:
	uint64_t safe_deadline_ns;
	uint32_t safe_step;
	struct feedback_stats stats;
};

// Defaults for a deadline and a ladder: act, gain 1.25, margin 2 %, floor 1/8, clean time 1 s to
// 256 s, forgiven after 60 s, silence 10 s.
struct feedback_params feedback_params_default(uint64_t deadline_ns, uint32_t n_steps);
// 0 or -EINVAL (out of the ranges above, or clean_max_ns below clean_ns); *ret_field names the
// member then.
int feedback_params_check(const struct feedback_params *params, const char **ret_field);

// params: checked. Begins, or begins anew.
void feedback_init(struct feedback *f, const struct feedback_params *params, uint64_t now_ns);
// Reports of packets up to this number, or within a round trip from now, are from before: other
// parameters held then.
void feedback_ignore_until(struct feedback *f, uint64_t sent_seq, uint64_t now_ns);
// A report that came now. Any report may be lost; what is in it is not trusted.
enum feedback_event feedback_report(
	struct feedback *f, const struct flow_delay_report *report, const struct feedback_path *path, uint64_t now_ns);
// Steps back when it is time.
enum feedback_event feedback_poll(struct feedback *f, uint64_t now_ns);
// When feedback_poll may have something to do; UINT64_MAX: not before the next report.
uint64_t feedback_next_ns(const struct feedback *f);

static inline bool
feedback_is_at_start(const struct feedback *f)
{
	return f->step == 0 && f->deadline_ns == f->params.deadline_ns;
}

bool feedback_is_consistent(const struct feedback *f); // for tests, the simulator and fuzzers
