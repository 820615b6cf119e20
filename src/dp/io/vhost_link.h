// A vhost-user front-end's connection (guest_link.h): its socket and its messages
// (rtvs/vhost_user.h).
#pragma once

#include "guest_link.h"

// cfg->fd: its connected socket. NULL: no memory, or n_pairs is out of range; the socket is closed.
struct guest_link *vhost_link_create(const struct guest_link_cfg *cfg);

#define VHOST_LINK_MESSAGES 16 // read of one link, before others have their turn

// For a kind of links that reads such a socket, too: 1: a message is there, whole, and each of its
// descriptors is of its kind. 0: not yet. Else an error of guest_link_read.
int vhost_link_receive(struct guest_link *link, struct vhost_user *user);
