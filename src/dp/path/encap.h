// The headers of a tunnel, which an uplink sends.
#pragma once

#include "view.h"
#include "worker.h"

// The ingress worker: *m, for the tunnel port `out`, with the headers before it, for the uplink.
// Otherwise why it may not leave; then *m is still the caller's, or NULL: it is gone.
enum drop encap(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **m);
// The worker that owns the uplink, right before and after it passes packets to the device: writes
// sequence, time and residence; takes back the numbers of those that are not in `sent`, a bit a
// packet.
void encap_stamp(struct worker *w, const struct view *view, struct rte_mbuf **pkts, uint16_t n);
void encap_unstamp(const struct view *view, struct rte_mbuf **pkts, uint32_t sent, uint16_t n);
// The worker that owns the uplink: m came into its schedule (by: 1) or is out of it (-1).
void encap_queued(const struct view *view, struct rte_mbuf *m, int by);
