// Where a packed ring stands, kept outside of the device that serves it, so that the next device
// goes on there when this one dies at any instruction. A split ring says so itself (its used
// index); a packed ring does not where buffers are chains of descriptors: the tails of a used chain
// look like unused buffers.
// Source: Virtio 1.2, section 2.8.
//
// The device writes before each used buffer what it is about to do, and after each batch that it is
// visible. The driver shows whether it is: a batch becomes visible with its first descriptor, which
// is marked last.
#pragma once

#include "rtvs/guest_ring.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GUEST_STATE_VERSION 2

// Of one ring. Plain numbers, valid on this machine, in memory that outlives the device. All
// zeroes: there was no ring.
struct guest_state {
	uint32_t version, size;
	uint64_t desc_guest; // of the ring's descriptors
	// Positions are an index, and the wrap counter in bit 15.
	_Atomic uint32_t visible; // behind the last buffer that the driver may see
	// The last used buffer: bits 0 to 15 its position, to 31 the one behind it, to 47 its id;
	// bit 48: there is one.
	_Atomic uint64_t last;
	// Second half of the used descriptor at `visible`, where the last buffer is a later one.
	_Atomic uint64_t held;
};

// The device of the ring starts at cfg->pos. Called by guest_ring_init.
void guest_state_begin(struct guest_state *s, const struct guest_ring_cfg *cfg);

// cfg->state is of the ring's former device: sets cfg->pos to where that would have gone on, and
// completes the batch that it did not make visible. Its last buffer has no bytes then. The ring is
// mapped, and no device uses it. False: the state is of another ring, or of one that the driver has
// set up anew or another device has served since; cfg and the ring are as they were.
bool guest_state_resume(struct guest_ring_cfg *cfg);
