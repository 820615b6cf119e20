// The kernel's interfaces by sockets of AF_XDP, as ports. Their descriptors are all that they are,
// so another process can go on with them. Control thread.
#pragma once

#include "port.h"

// Is it such a port? Not one with arguments that only DPDK's driver knows, and none on a kernel
// before Linux 6.4.
bool port_xdp_is(const struct dp_port_cfg *cfg);
// The port's type is AF_XDP's from here on.
int port_xdp_open(struct port *port, char err[DP_ERR_SIZE]);
