// Reports that a port's link went up or down.
#pragma once

#include "port.h"

// Any thread: tells the control thread, and wakes workers whose descriptors changed.
void port_link_changed(struct port *port, bool is_up);
