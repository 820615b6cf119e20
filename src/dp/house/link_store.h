// Connections of guests that outlive this process: their descriptors are with who starts the next
// one (struct dp_fd_store), and what is known of them is in the file of ring_states.h. So after a
// crash a guest sees a pause, not a link that goes down. A process that takes over while this one
// runs gets the same. Control thread.
//
// A connection is stored when nothing came from its front-end for a second, and is lost with the
// process from the next message on until it is stored anew. A descriptor's name is a record's place
// in the file, the serial of its set, and what it is: "12.3.link", "12.3.memory0", "12.3.kick1".
#pragma once

#include "vhost_session.h"

struct link_store;

int link_store_create(struct dp *dp); // 0, also where there is no file of positions, or -ENOMEM
// A descriptor that a former process stored; it is this one's from here on.
void link_store_give(struct dp *dp, const char *name, int fd);

// The port's former connection goes on. False: there is none that could, and whatever is left of it
// ends now, so that the front-end connects again.
bool link_store_adopt(struct vhost *v);
// The port's former socket, which listens and is the caller's from here on. -1: there is none.
int link_store_take_listener(struct vhost *v);

// In a process that takes over: maps the memory of the port's connection, as far as it is known by
// now, so that this cannot fail later. 0 or -ENOMEM with err.
int link_store_warm(struct vhost *v, char err[DP_ERR_SIZE]);

// For a process that takes over: sends the port's sockets and the set of its connection, if there
// is anything that was not sent yet. The loop's lock is held. -EBUSY: its connection is changing,
// or none that can be handed over; -EIO.
// is_last: as in port_type.h.
int link_store_hand(struct vhost *v, const struct dp_fd_store *to, bool is_last, char err[DP_ERR_SIZE]);

// Once a second, then link_store_look for each port: stores what is to be stored, of a few ports at
// a time.
void link_store_turn(struct dp *dp);
void link_store_look(struct vhost *v);
// dp->ctl_epoll_fd is readable, or may be.
void link_store_run(struct dp *dp);
// The port is about to end: with the process, which leaves what is stored to the next one, or
// without, and then that ends, too.
void link_store_end(struct vhost *v);
// In a process that has taken over: what was sent and is no port's.
void link_store_end_given(struct dp *dp);
void link_store_destroy(struct dp *dp);
