// A guest's rings as workers use them, through librte_vhost.
#pragma once

#include "rtvs/chain.h"

#include <rte_mbuf.h>

struct port;
struct port_refused;

// Of port_ops. // dp
uint16_t vhost_io_rx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n);
uint16_t vhost_io_tx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused);
int vhost_io_rx_wakeup(struct port *port, uint16_t q, bool is_on);
bool vhost_io_ring(struct port *port, uint16_t q, struct chain_ring *ret_ring);
void vhost_io_kick(struct port *port, uint16_t q);
