// Connections of vhost-user front-ends, and which descriptor belongs to which. Code that makes a
// system call for librte_vhost looks up the owner here. That is vhost_fds.c, where connections come
// and go, and vhost_guard.c, whose interrupts they can block.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define VHOST_CONN_MAX 2048 // at one time, of all ports
#define VHOST_CONN_FDS 65536 // descriptors of connections have lower numbers

// The owner of front-ends. Outlives its connections.
struct vhost_client {
	uint64_t serial; // of the port
	// Any thread: the front-end broke a rule and is hung up on. is_costly: others waited for
	// it. It may wait for nothing, and may call nothing of this file.
	void (*fault)(struct vhost_client *client, const char *why, bool is_costly);
};

struct vhost_conn {
	_Atomic int socket; // below 0: closed
	struct vhost_client *client;
	_Atomic unsigned n_fds; // open ones that came with messages
	_Atomic bool is_broken; // its eventfds are not written any more
};

// The thread that has the socket from accept or connect: it is a connection of the client's. False:
// there is no room.
bool vhost_conn_add(int socket, struct vhost_client *client);
// A descriptor's connection, as a number; 0: it is not of a front-end. It holds while the
// descriptor is open.
unsigned vhost_conn_owner(int fd);
// NULL: not a connection's socket.
struct vhost_conn *vhost_conn_at(int socket);

// Event thread: fd, below VHOST_CONN_FDS, came with a message of the connection.
void vhost_conn_add_fd(struct vhost_conn *c, int fd);
// The thread that closes fd, which is a connection's and not its socket, before it does.
void vhost_conn_del_fd(int fd);
// The thread that closes the socket, before it does. is_left: vhost_conn_left finds the connection
// until vhost_conn_free.
void vhost_conn_close(struct vhost_conn *c, bool is_left);
struct vhost_conn *vhost_conn_left(void); // NULL: none
// Takes the first descriptor above `after` that a closed connection has left open; -1: there is
// none.
int vhost_conn_next_fd(struct vhost_conn *c, int after);
// The place of a closed connection without descriptors is free.
void vhost_conn_free(struct vhost_conn *c);

// A worker: the connection's front-end made it wait. Its descriptors are not written to any more.
void vhost_conn_break(unsigned owner);
bool vhost_conn_is_broken(unsigned owner);
// Supervisor: ends the broken connection.
void vhost_conn_hang_up_broken(unsigned owner, const char *why);
// The thread that uses the connection: ends it. The event thread reads that next. is_costly: others
// waited for the front-end.
void vhost_conn_hang_up(struct vhost_conn *c, const char *why, bool is_costly);
