// The agent of a guest whose NIC is in switchdev mode: it makes representors, and what tc filters
// of their ingress say becomes rules of the host's switch.
#pragma once

#include <stdbool.h>

struct agent_options {
	const char *channel, *socket;
	const char *pf; // NULL: the one that there is
	unsigned timeout_ms;
	bool sets_mode; // the NIC's, to switchdev
};

// Until a signal ends it. The exit status.
int agent_run(const struct agent_options *options);
