// The states of a port's life and the steps between them.
//
//   made -> started <-> stopped
//     |      |    |         |
//     |      |  draining    |
//     v      v    v         v
//     +---- gone <----------+
#pragma once

#include <stdbool.h>

enum port_life {
	PORT_MADE, // its device is open and was never started
	PORT_STARTED, // it takes and transmits packets
	PORT_STOPPED, // by the operator
	PORT_DRAINING, // it was removed, and transmits what waits for it; it takes nothing
	PORT_GONE, // its device is closed, and its number is free
	PORT_LIVES
};

bool port_life_may(enum port_life from, enum port_life to);
void port_life_step(enum port_life *life, enum port_life to); // a step that is allowed
