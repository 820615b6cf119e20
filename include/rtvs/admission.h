// Can an egress port keep the promises to its senders? Exact test of non-preemptive
// earliest-deadline-first scheduling of senders behind token buckets (rate r, burst s, deadline d,
// largest packet L) on a link of rate C, senders sorted by d:
//   sum of all r <= C, and for every k:
//   sum over j <= k of (s_j + r_j (d_k - d_j)) + max over i > k of L_i <= C (d_k - latency)
// The test is necessary and sufficient up to one packet. Best effort counts as a sender without a
// deadline, and so do packets beyond a guarantee: best_effort_packet is the length of such packets.
// latency: the time on the link's clock before the scheduler acts.
// Source: Liebeherr, Wrege, Ferrari, "Exact admission control for networks with a bounded delay
// service", IEEE/ACM Trans. Networking 4(6), 1996, theorem 1.
// Pure; any thread; no allocation. Integers of 128 bits: no rounding.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ADMISSION_MAX_SENDERS 65536u

struct admission_sender {
	uint64_t rate; // bytes/s, up to 5e10
	uint64_t burst; // bytes, up to 2^32, at least max_packet
	uint64_t deadline_ns; // up to 1 h
	uint32_t max_packet; // bytes, 1 at least
	uint32_t id; // the caller's
};

struct admission_link {
	uint64_t rate; // bytes/s, 1 at least
	uint64_t latency_ns;
	uint32_t best_effort_packet; // largest packet without a guarantee, 0: there are none
};

enum admission_reason {
	ADMISSION_FITS,
	ADMISSION_RATE, // more is reserved than the link has
	ADMISSION_DEADLINE, // too much may be due at time t
	ADMISSION_BURST, // a sender's burst does not hold its largest packet
};

struct admission_result {
	enum admission_reason reason;
	uint32_t id; // of the sender whose deadline is t, or whose burst is too small
	uint64_t t_ns; // ADMISSION_DEADLINE: the first time that fails
	// Due by that time (ADMISSION_RATE: in a second); demand is rounded up, supply down.
	uint64_t demand_bytes, supply_bytes;
};

// Sorts senders by deadline. True: everything fits.
bool admission_check(struct admission_sender *senders, uint32_t n, const struct admission_link *link,
	struct admission_result *ret_result);

// The best value that the sender with this id (one of them) could have, all else being equal: the
// shortest deadline, the largest rate or burst. False: no value is possible. At most 64 tests.
enum admission_field {
	ADMISSION_BEST_DEADLINE,
	ADMISSION_BEST_RATE,
	ADMISSION_BEST_BURST,
};
bool admission_best(struct admission_sender *senders, uint32_t n, const struct admission_link *link, uint32_t id,
	enum admission_field field, uint64_t *ret_value);
