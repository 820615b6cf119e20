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
	unsigned n_holds; // that have begun and not ended
	uint64_t stuck_ns; // for how long the device has refused what it is offered
};

struct held_sender {
	struct hold hold;
	uint64_t told_ns; // when the last event about it was posted, 0: none was
	_Atomic uint64_t held_ns; // how long it was held. dp: wo, ctl: ro
};

// A packet of `sender` was queued or refused, at a port that may hold.
void backpressure_queued(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b,
	struct held_sender *h, uint16_t sender, struct fill fill);
// A packet of `sender` left.
void backpressure_left(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b,
	struct held_sender *h, uint16_t sender, struct fill fill);
// The device was offered packets: for how long it has taken none, 0: it took some. True: it has
// just turned out to be stuck, and all that are held are to be read again.
bool backpressure_offered(struct backpressure *b, uint64_t stuck_ns);
// The sender is read again: the device is stuck, or the port is down or may hold nobody any more.
void backpressure_end(struct worker *w, const struct view *view, uint16_t out, struct backpressure *b,
	struct held_sender *h, uint16_t sender);
// The sender's number, or its place, is another's.
void backpressure_forget(struct backpressure *b, struct held_sender *h);
// The sender is read again, if it was port `out` that holds it back. Also the control thread, when
// it takes `out` away and no worker uses it any more.
void backpressure_release(struct port_path *sender, uint16_t out);
