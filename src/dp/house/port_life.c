// The one table of a port's life. Each step goes through port_life_step, which asserts that the
// table has it: a removed port is not started again, and one that is gone does nothing.
#include "port_life.h"

#include <assert.h>

#define TO(life) (1u << (life))

static const unsigned steps[PORT_LIVES] = {
	[PORT_MADE] = TO(PORT_STARTED) | TO(PORT_GONE),
	[PORT_STARTED] = TO(PORT_STOPPED) | TO(PORT_DRAINING) | TO(PORT_GONE),
	[PORT_STOPPED] = TO(PORT_STARTED) | TO(PORT_GONE),
	[PORT_DRAINING] = TO(PORT_GONE),
	[PORT_GONE] = 0,
};

bool
port_life_may(enum port_life from, enum port_life to)
{
	return steps[from] & TO(to);
}

void
port_life_step(enum port_life *life, enum port_life to)
{
	assert(port_life_may(*life, to));
	*life = to;
}
