// A segment's frames as the worker that owns the port uses them.
#pragma once

#include "device.h"
#include "rtvs/segment.h"

#include <stdatomic.h>

struct segment_node;

// Frames that are written and not handed over yet, with their places in the burst. dp: rw; empty
// between two calls.
struct segment_tx_burst {
	struct segment_frame frame[PORT_BURST];
	uint16_t at[PORT_BURST];
	uint16_t n, n_slots;
};

struct segment_io {
	_Atomic(struct segment_node *) node; // that the worker uses, NULL: none; ctl: wo, dp: ro
	// Received, and not yet copied; from first on. dp: rw; ctl while there is no node.
	struct segment_frame frame[PORT_BURST];
	uint16_t first, n_frames;
	struct segment_tx_burst tx;
};

// NULL: none has joined.
static inline struct segment_node *
segment_io_node(const struct segment_io *s)
{
	return atomic_load_explicit(&s->node, memory_order_acquire);
}

// for a device whose priv is a struct segment_io. There is one queue
extern const struct port_io segment_io_ops;
