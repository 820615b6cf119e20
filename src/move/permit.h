// The switch's side of a move: a port lets a second QEMU connect to its socket only when it was
// told so (port.move).
#pragma once

#include "cmdline.h"
#include "process.h"
#include "reasons.h"
#include "rtvs/client.h"

// Time for the destination's connections, longer than it is waited for.
#define PERMIT_FOR "60s"

struct permit {
	struct client *client; // NULL: the guest has no vhost-user socket
	json_t *ports; // names of those whose sockets it has
};

// Finds the ports, and says what is against a move. Sockets of another switch have no port here,
// and are left to it. Nothing is changed. False: a reason was added.
bool permit_find(const char *socket, const struct cmdline *c, const struct process *p, struct permit *ret_permit,
	struct reasons *reasons);
// -EREMOTE, -EPIPE: the daemon refused it, or is gone; told on stderr.
int permit_give(const struct permit *p);
void permit_end(struct permit *p);
