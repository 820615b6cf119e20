// Traces as the control thread starts, reads and ends them (rtvs/dp.h).
#pragma once

#include "port.h"

uint64_t traces_wake_ns(const struct port *port); // as struct dp_port_state has it
int traces_prepare(struct port *port); // makes what the port needs, if it does. -ENOMEM
