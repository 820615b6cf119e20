// The receiver's account of one flow of one peer: which packets arrived, were lost, or were late
// and why, and which reports the sender gets when. One thread; pure, O(1) a packet, no allocation.
//
// Loss follows from numbers, with a window as in RFC 4303, 3.4.3. A number is lost when
// FLOW_DELAY_WINDOW later ones have come without it, so re-ordering is no loss.
// FLOW_DELAY_RESTART_RUN packets in a row that do not fit mean a restarted sender.
//
// A miss is a packet that came later than its deadline by more than the uncertainty of its delay.
// When the uncertainty is more than half the deadline, no packet is judged, and the report says so.
//
// Reports: at once at the first miss after a quiet time, then once an interval as long as there are
// misses. The end of misses, and packets that cannot be judged, are reported FLOW_DELAY_REPEATS
// times, an interval apart: a report may be lost. Then there is silence. Reports take
// FLOW_DELAY_SHARE of the flow's bytes at most, and one each FLOW_DELAY_SLOW_NS, so that silence
// never means misses: a token bucket, of FLOW_DELAY_BURST reports.
#pragma once

#include "rtvs/hist.h"

#include <stdbool.h>
#include <stdint.h>

#define FLOW_DELAY_WINDOW 64u // numbers
// A longer gap is not loss: 1.7 s of 10 million packets a second.
#define FLOW_DELAY_MAX_GAP (UINT64_C(1) << 24)
#define FLOW_DELAY_RESTART_RUN 8u
#define FLOW_DELAY_REPEATS 3u
#define FLOW_DELAY_SHARE 1000u // one byte of this many
// of a datagram with one report, Ethernet, tag and IPv6 included
#define FLOW_DELAY_REPORT_BYTES 220u
#define FLOW_DELAY_BURST 50u
#define FLOW_DELAY_SLOW_NS UINT64_C(5000000000) // half of feedback_params_default's silence
#define FLOW_DELAY_INTERVAL_NS UINT64_C(10000000) // default

struct flow_delay_packet {
	uint64_t seq; // of its sender, flow and receiver
	int64_t delay_ns; // end to end; negative: the clocks differ by more than is known
	uint64_t uncertainty_ns; // of the delay
	uint64_t residence_ns; // the part of the delay that passed at the sender
	uint64_t deadline_ns; // relative, end to end, 0: none
	uint32_t bytes; // all that it takes of the network
};

// report.flags: the last packet's uncertainty exceeded half of its deadline.
#define FLOW_DELAY_UNJUDGED 1u

// Since the last report.
struct flow_delay_report {
	uint64_t received, lost, missed; // packets; a deadline of 0 is never missed
	uint64_t worst_over_ns; // beyond the deadline; 0: none missed
	uint64_t worst_network_ns; // largest delay less residence of those that missed
	uint64_t uncertainty_ns; // largest, of packets with a deadline
	uint64_t last_seq; // of the last packet that missed; if none did, of the last that arrived
	uint16_t flags;
};

// Since flow_delay_init.
struct flow_delay_stats {
	uint64_t received; // duplicates not among them
	uint64_t lost, reordered; // reordered: after a later one, and not lost
	uint64_t late; // came when they were lost already
	uint64_t duplicates; // not looked at any further
	uint64_t restarts;
	uint64_t missed, unjudged;
	uint64_t impossible; // sooner than at once, by more than the uncertainty
	uint64_t worst_over_ns, worst_network_ns;
	uint64_t deadline_ns, uncertainty_ns; // of the last packet, as it said and as it was judged
};

enum flow_delay_state {
	FLOW_DELAY_CLEAN,
	FLOW_DELAY_MISSING,
	FLOW_DELAY_BLIND, // not judged
};

struct flow_delay {
	struct flow_delay_stats stats;
	struct hist *delay, *network; // ns; NULL: not kept

	uint64_t top, seen; // highest number; bit n: top - n has come
	bool has_top;
	uint64_t stray_next; // number that would continue a run of strays
	uint32_t n_strays; // in the run

	struct flow_delay_report next; // what flow_delay_take will give
	enum flow_delay_state told; // by the last report
	uint32_t n_repeats; // reports still to come though nothing changes
	uint64_t told_ns; // when, if has_told
	// Bytes of the flow without a report, as of told_ns, and bytes received since.
	uint64_t credit;
	bool has_told;
};

// delay, network: initialised, the caller's as long as the account is used; NULL: no histogram.
void flow_delay_init(struct flow_delay *f, struct hist *delay, struct hist *network);
// In the order of arrival.
void flow_delay_add(struct flow_delay *f, const struct flow_delay_packet *packets, uint32_t n_packets);
// Whether the sender is to be told.
bool flow_delay_wants_report(const struct flow_delay *f, uint64_t interval_ns, uint64_t now_ns);
// The report, wanted or not, and begins the next. False: nothing arrived since the last one.
bool flow_delay_take(struct flow_delay *f, struct flow_delay_report *ret_report, uint64_t now_ns);

// Whether delays with this uncertainty can be compared with the deadline.
static inline bool
flow_delay_can_judge(uint64_t deadline_ns, uint64_t uncertainty_ns)
{
	return uncertainty_ns <= deadline_ns / 2;
}
