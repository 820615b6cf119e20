// Reports that a port's link went up or down, or that its device has other queues.
#pragma once

#include "port.h"

// Any thread: tells the control thread, and wakes workers whose descriptors changed.
void port_link_changed(struct port *port, bool is_up);
// Any thread: workers look at all their queues anew.
void port_link_rings_changed(struct port *port);
// Control thread: the link as it was read. True: it changed, which is reported.
bool port_link_set(struct port *port, bool is_up);
