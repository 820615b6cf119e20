// A kernel's TAP as a port. Its descriptors are all that it is, so another process can go on with
// it. Control thread.
#pragma once

#include "port.h"

// Is it such a port?
bool port_tap_is(const struct dp_port_cfg *cfg);
// The port's type is a TAP's from here on.
int port_tap_open(struct port *port, char err[DP_ERR_SIZE]);

// A descriptor that the former process sent, which is the datapath's from here on. False: it is
// none of a TAP, and is still the caller's.
bool port_tap_give(struct dp *dp, const char *name, int fd);
void port_tap_end_given(struct dp *dp); // those that no port has
