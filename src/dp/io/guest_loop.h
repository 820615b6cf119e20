// The thread that serves all front-ends: it accepts their connections, reads their messages and
// sends the replies. It never waits for one of them, nor for a worker: a message that changes rings
// which workers have is handled when their turns have passed, and other front-ends are served
// meanwhile.
#pragma once

#include "guest_link.h"
#include "vhost_link.h"
#include "vhost_owner.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct guest_loop;
struct rcu;

#define GUEST_LOOP_PORTS 4096 // with a socket
#define GUEST_LOOP_LINKS 4 // connected to one port at a time
// Workers look at all their queues anew after each change: so often a front-end may have that in
// such a time. A QEMU with 8 pairs of queues that starts takes one less.
#define GUEST_LOOP_CHANGES 64
#define GUEST_LOOP_CHANGES_NS 100000000

// What the loop knows of a port. The functions run on the loop's thread, or on one that calls
// guest_loop_connect or guest_loop_remove; never two at once. They may wait for nothing.
struct guest_port {
	struct vhost_client client;
	uint64_t serial; // of the port, as vhost_guard.h has it
	uint64_t features; // offered
	uint32_t n_pairs;
	struct guest_link *(*create)(const struct guest_link_cfg *cfg); // as vhost_link_create
	struct vdpa_device *device; // as in struct guest_link_cfg
	bool is_kept; // likewise
	// A process has connected to the port's socket: may it have the port?
	bool (*may_connect)(struct guest_port *port, pid_t pid);
	void (*opened)(struct guest_port *port, struct guest_link *link, pid_t pid);
	// Messages were handled, and the link is hidden if they changed anything: shows that link
	// which has the port.
	void (*changed)(struct guest_port *port, struct guest_link *link);
	// Hides the link, which ends. why: the rule that its front-end broke, NULL: none.
	void (*closed)(struct guest_port *port, struct guest_link *link, const char *why);
	// As in struct guest_link_cfg; arg is the port.
	void (*announce)(void *arg, const uint8_t mac[6]);
	void (*prepare)(
		void *arg, const struct guest_link *link, unsigned ring, struct guest_ring_cfg *cfg, bool is_first);
};

int guest_loop_create(struct rcu *rcu, struct guest_loop **ret_loop); // 0 or a negative errno
void guest_loop_destroy(struct guest_loop *loop); // all ports are removed; NULL is accepted

// Control thread. The port outlives its connections. listen, connect: the socket, which listens or
// is connected, is the loop's from here on, also where it fails. Errors: -EMFILE (there are
// GUEST_LOOP_PORTS, or GUEST_LOOP_LINKS of the port), -ENOMEM, others of epoll.
int guest_loop_listen(struct guest_loop *loop, struct guest_port *port, int socket);
int guest_loop_connect(struct guest_loop *loop, struct guest_port *port, int socket);
// The socket is a former process's connection, which goes on. Takes the descriptors. *is_whole: as
// in struct guest_link. Errors also: -EPROTO and others of vhost_link_restore; the connection is
// then ended.
int guest_loop_adopt(struct guest_loop *loop, struct guest_port *port, int socket, const struct vhost_user_kept *kept,
	struct vhost_user_kept_fds *fds, _Atomic uint32_t *is_whole);
// The port's socket that listens, which stays the loop's; -1: it has none. The loop is locked.
int guest_loop_listener(const struct guest_loop *loop, const struct guest_port *port);
// The loop is locked, and serves nothing from here on: the process is about to end. It is unlocked.
void guest_loop_freeze(struct guest_loop *loop);
// What the functions of ports have may be looked at between these, for a short time.
void guest_loop_lock(struct guest_loop *loop);
void guest_loop_unlock(struct guest_loop *loop);
// Calls `changed` for its connections, as if messages had come. Waits for the workers' turns.
void guest_loop_refresh(struct guest_loop *loop, struct guest_port *port);
// Ends its connections and its listening. Waits for the workers' turns.
void guest_loop_remove(struct guest_loop *loop, struct guest_port *port);
