// How ports are removed (dp_port_del): drained, then closed. Control thread.
#pragma once

#include "rtvs/dp.h"

struct port;

#define PORT_DRAIN_MAX_NS UINT64_C(100000000) // what waits for a port after that is dropped
#define PORT_DRAIN_LOOK_NS UINT64_C(5000000) // between looks whether it is drained

int port_end_init(struct dp *dp); // -errno
void port_end_fini(struct dp *dp); // ports that drain end at once
void port_end_turn(struct dp *dp); // ends the ports that are drained, or have had their time
// a removed port that is not gone has this number
bool port_end_has(const struct dp *dp, unsigned id);
// Ends the removed port of that name at once, NULL: all that are removed. True: there was one.
bool port_end_now(struct dp *dp, const char *name);
// one that no worker knows, whose device is closed or was never opened
void port_end_free(struct port *port);
