// How one egress port holds back the guests that send to it faster than its rate (rtvs/hold.h). The
// egress worker writes into the sender's port the time until which its ring is not read. So a hold
// ends in time, whatever happens to the egress port, its device and its worker. The view says who
// may be held, and by which ports: may_be_held, may_hold. Used by the worker that owns the egress
// port.
#pragma once

#include "rtvs/hold.h"
#include "worker.h"

struct fill { // of a queue, in packets or buffers
	uint32_t n, limit;
	uint32_t one; // the packet that came or left
};

struct backpressure {
	struct hold hold[DP_MAX_PORTS]; // by sender
	unsigned n_holds; // that have begun and not ended
	uint64_t stuck_ns; // for how long the device has refused what it is offered
	// when the last event about the sender was posted, 0: none was
	uint64_t told_ns[DP_MAX_PORTS];
	_Atomic uint64_t held_ns[DP_MAX_PORTS]; // how long each was held. dp: wo, ctl: ro
};

// A packet of `sender` was queued or refused, at a port that may hold.
void backpressure_queued(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b,
	uint16_t sender, struct fill fill);
// A packet of `sender` left.
void backpressure_left(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b, uint16_t sender,
	struct fill fill);
// The device was offered packets: for how long it has taken none, 0: it took some.
void backpressure_offered(
	struct worker *w, const struct view *view, uint16_t out, struct backpressure *b, uint64_t stuck_ns);
// All are read again: the port is down, or may hold no sender any more.
void backpressure_release_all(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b);
// The sender's number belongs to another port.
void backpressure_forget(struct backpressure *b, uint16_t sender);
// The sender is read again, if port `out` holds it back. Also the control thread, when it removes
// `out` and no worker uses it any more.
void backpressure_release(struct port_path *sender, uint16_t out);
