// Path MTU discovery.
#pragma once

#include "view.h"
#include "worker.h"

// The message to the sender of m, which does not fit the tunnel port `out`, about the mtu that
// would: an answer for the port that m came from, a limited number of times a second. NULL: none. m
// stays the caller's.
struct rte_mbuf *too_big(
	struct worker *w, const struct view *view, uint16_t out, const struct rte_mbuf *m, uint32_t mtu);
