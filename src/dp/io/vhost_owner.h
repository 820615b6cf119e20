// Which connection an eventfd is of, by a number: a front-end may make whoever writes to its
// eventfds wait, or cost time. It is hung up on, and its eventfds are not written any more.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VHOST_OWNERS 16383 // connections at one time, of all ports

// Of a port's front-ends. Outlives its connections.
struct vhost_client {
	// Any thread: the front-end broke a rule and is hung up on. is_costly: others waited for
	// it. It may wait for nothing, and may call nothing of this file.
	void (*fault)(struct vhost_client *client, const char *why, bool is_costly);
};

// The thread of connections. Returns the connection's number, 0: there are VHOST_OWNERS.
unsigned vhost_owner_add(int socket, struct vhost_client *client);
// No thread writes to its eventfds any more, and the socket is still open.
void vhost_owner_del(unsigned owner);

// A worker: the connection's front-end made it wait. Its descriptors are not written to any more.
void vhost_owner_break(unsigned owner);
bool vhost_owner_is_broken(unsigned owner);
// Supervisor: ends the broken connection; its thread reads that next.
void vhost_owner_hang_up(unsigned owner, const char *why);
