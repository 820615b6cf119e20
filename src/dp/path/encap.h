// The headers of a tunnel, which an uplink sends.
#pragma once

#include "rtvs/guest_ring.h"
#include "view.h"
#include "worker.h"

// The ingress worker: *m, for the tunnel port `out`, with the headers before it, for the uplink.
// Otherwise why it may not leave; then *m is still the caller's, or NULL: it is gone.
enum drop encap(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **m);
// The worker that owns the uplink of tunnel port `out`: frames of one ring of port `in`, which[] of
// them, get their headers and leave at once. False: as packets only, and nothing was done.
bool encap_frames(struct worker *w, const struct view *view, uint16_t out, uint16_t in, struct guest_frame *frame,
	const uint8_t *which, uint16_t n);
// Those that could not leave are what they were before, and have no numbers.
void encap_undo_frames(const struct view *view, uint16_t out, uint16_t in, struct guest_frame *frame,
	const uint8_t *which, uint16_t n);
// The worker that owns the uplink, right before and after it passes packets to the device: writes
// sequence, time and residence; takes back the numbers of those that are not in `sent`, a bit a
// packet.
void encap_stamp(struct worker *w, const struct view *view, struct rte_mbuf **pkts, uint16_t n);
void encap_unstamp(const struct view *view, struct rte_mbuf **pkts, uint32_t sent, uint16_t n);
// The worker that owns the uplink: m came into its schedule (by: 1) or is out of it (-1).
void encap_queued(const struct view *view, struct rte_mbuf *m, int by);
