// A kernel's TAP as a port. Its descriptors are all that it is, so another process can go on with
// it. Control thread.
#pragma once

#include "port.h"

// Is it such a port?
bool port_tap_is(const struct dp_port_cfg *cfg);
// The port's type is a TAP's from here on.
int port_tap_open(struct port *port, char err[DP_ERR_SIZE]);
