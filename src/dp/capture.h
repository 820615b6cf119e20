// Packet capture of one port: workers copy what matches into a ring, the control thread takes it out. Never waits.
#pragma once

#include "rtvs/dp.h"

#include <rte_mbuf.h>

struct capture;
struct worker;

// Worker: copies the packets of a burst that match.
void capture_burst(struct worker *w, struct capture *capture, struct rte_mbuf **pkts, uint16_t n, bool is_tx);
