// The distance of a peer's clock from ours, from exchanges of four times. At t1 we send a request,
// at t2 the peer receives it, at t3 the peer sends its answer, and at t4 we receive the answer. t1
// and t4 are by our clock, t2 and t3 by the peer's (RFC 5905, section 8). offset = peer's clock -
// ours.
//
// An answer cannot arrive before it was sent. So each exchange bounds the offset without any
// assumption about its two ways. The offset was at most t2 - t1 at t1, and at least t3 - t4 at t4.
// Between exchanges the clocks drift apart by at most CLOCK_OFFSET_MAX_DRIFT_PPB, and at a rate
// that changes by at most CLOCK_OFFSET_WANDER_PPB a second. Under these two assumptions the offset
// is always within the uncertainty, however queues delay either way, since only true bounds are
// ever intersected. These are bounds on the offset, moved to the present, and bounds on the drift.
// Two exchanges with short ways and much time in between make the latter narrow. The estimate is
// the middle of the bounds: its error is half the difference of the two shortest ways. A change
// that no drift explains is a step of a clock.
// Sources: intersection of intervals, Marzullo and Owicki (1983); drift from distant exchanges of
// minimal round trip, Veitch, Ridoux and Korada, "Robust synchronization of absolute and difference
// clocks over networks" (IEEE/ACM ToN 17(2), 2009).
//
// Pure, integers, no allocation; one thread. Times are ns modulo 2^64 of clocks that may begin
// anywhere.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_OFFSET_MAX_DRIFT_PPB INT64_C(500000) // 500 ppm, between the two clocks
// A second. Temperature changes a crystal by less than 1.2 ppm a minute.
#define CLOCK_OFFSET_WANDER_PPB INT64_C(20)
#define CLOCK_OFFSET_MAX_TRIP_NS UINT64_C(1000000000) // t4 - t1
// 1 h after the last exchange the bounds are void.
#define CLOCK_OFFSET_MAX_AGE_NS UINT64_C(3600000000000)
#define CLOCK_OFFSET_SLOT_BITS 30 // of 2^30 ns, 1.07 s; each keeps its best exchange
#define CLOCK_OFFSET_SLOTS 64u // 69 s

struct clock_offset_exchange {
	uint64_t t1_ns, t2_ns, t3_ns, t4_ns;
};

// lo <= offset - base <= hi when our clock showed at_ns.
struct clock_offset_bounds {
	uint64_t at_ns;
	int64_t lo_ns, hi_ns;
};

struct clock_offset {
	bool is_known;
	uint64_t base_ns; // modulo 2^64; what bounds are relative to, so that they stay small
	struct clock_offset_bounds now; // as of the last exchange, of all that is known
	struct clock_offset_bounds last; // what the last exchange alone said
	// As of the last exchange; positive when the peer's clock gains on ours.
	int64_t drift_lo_ppb, drift_hi_ppb;
	struct clock_offset_bounds best[CLOCK_OFFSET_SLOTS]; // with the shortest trip of its slot
	bool has_best[CLOCK_OFFSET_SLOTS];
	uint64_t n_taken, n_refused, n_bent, n_stepped;
};

enum clock_offset_result {
	CLOCK_OFFSET_TAKEN,
	CLOCK_OFFSET_REFUSED, // impossible times, or a trip above CLOCK_OFFSET_MAX_TRIP_NS: ignored
	CLOCK_OFFSET_BENT, // a clock runs at another rate than it did: the drift is learnt anew
	// A clock was set, or no exchange came for too long: all bounds are learnt anew.
	CLOCK_OFFSET_STEPPED,
};

void clock_offset_init(struct clock_offset *c);
// In the order of t4_ns, which is the present; an earlier one is a step. O(CLOCK_OFFSET_SLOTS).
enum clock_offset_result clock_offset_add(struct clock_offset *c, const struct clock_offset_exchange *exchange);
// The offset when our clock shows, or showed, local_ns: the true offset is in offset +-
// uncertainty. The uncertainty is half the shortest trip, and grows with the time from the last
// exchange. False: not known, or further than CLOCK_OFFSET_MAX_AGE_NS.
bool clock_offset_at(
	const struct clock_offset *c, uint64_t local_ns, int64_t *ret_offset_ns, uint64_t *ret_uncertainty_ns);

bool clock_offset_is_consistent(const struct clock_offset *c); // for tests and fuzzers
