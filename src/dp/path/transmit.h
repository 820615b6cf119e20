// Packets into the device of a port. The worker that owns it.
#pragma once

#include "view.h"
#include "worker.h"

// Chooses the queue of each packet, where the device has several, and sorts the packets by it. The
// order within a queue, and so within a flow, stays. n: up to WORKER_STAGE, as in transmit.
void transmit_steer(const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n);
// Gives packets that were steered to port `out`, sorted by queue, until a queue takes no more; how
// many it took, or refused, which are dropped. Those left stay in their order.
uint16_t transmit(struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n);
// Passes those at the front that go to the same queue, *ret_run, at most a burst. Packets that the
// port never takes are dropped, and the run ends behind those that the port has finished. Returns
// how many of the run are no longer the caller's.
uint16_t transmit_run(
	struct worker *w, const struct view *view, uint16_t out, struct rte_mbuf **pkts, uint16_t n, uint16_t *ret_run);
