// Frames from guest to guest that leave as they came, or through a tunnel whose uplink is a guest's
// device: they are copied once, and never become packets.
#pragma once

#include "worker.h"

// May frames of the port pass? The value of view_port.passes; reads all others but that.
bool pass_allows(const struct view_port *in);

// Of n frames from the first on (PORT_BURST in all) that were taken from a ring of port `in`
// (io/guest_io.h), or came through tunnel port `in`; the port's entry in the view passes. Which
// have left, as bits, and how many bytes these are. The rest is switch_burst's.
uint32_t pass_burst(
	struct worker *w, const struct view *view, uint16_t in, uint16_t first, uint16_t n, uint64_t *ret_bytes);
