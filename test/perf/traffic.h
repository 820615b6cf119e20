// Programs whose guests send to each other, in pairs, while their back end is replaced. One thread
// polls the rings of all. Commands on stdin, a line each, are answered by one of JSON, but for the
// first:
//   begin  guests send from now on
//   end -> {"sent", "received", "lost", "duplicated", "reordered", "silent", "stall_ns",
//          "gap_ns": [], "lost_of": []}
//          after all that was sent came, or a second. silent: guests that received nothing;
//          stall_ns: the longest time in which this thread did not run, so that no guest did;
//          gap_ns: by receiver, the longest time until something came, or the end; lost_of: by
//          receiver.
//   quit
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TRAFFIC_MAX_ENDS 64

// What a guest got from the other one of its pair, and what that had sent, since begin.
struct traffic_end {
	uint64_t n_sent, n_received, n_lost, n_duplicated, n_reordered;
	uint64_t last_ns, gap_ns;
};

struct traffic {
	struct traffic_end to[TRAFFIC_MAX_ENDS]; // by receiver
	unsigned n;
	bool is_sending;
	uint64_t turn_ns, stall_ns; // since begin

	// Connections are looked at now and then only.
	void (*turn)(struct traffic *t, bool looks);
	void (*begin)(struct traffic *t, uint64_t now_ns); // after the counts began anew
	bool (*is_done)(struct traffic *t); // all came that was sent; writes the counts
};

uint64_t traffic_now_ns(void);
// Something came for receiver i.
void traffic_came(struct traffic *t, unsigned i, uint64_t now_ns);
// Obeys stdin until `quit`, or its end.
void traffic_run(struct traffic *t);
