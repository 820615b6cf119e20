// A vhost-user front-end's connection (guest_link.h): its socket and its messages
// (rtvs/vhost_user.h).
#pragma once

#include "guest_link.h"

// cfg->fd: its connected socket. NULL: no memory, or n_pairs is out of range; the socket is closed.
struct guest_link *vhost_link_create(const struct guest_link_cfg *cfg);

// What another process needs to go on with the connection, of a link with cfg->is_kept. The
// descriptors stay the link's. False: it cannot be kept now, as vhost_user_kept_save, or where a
// packed ring stands is not kept, or memory is of too many files.
bool vhost_link_keep(
	const struct guest_link *link, struct vhost_user_kept *ret_kept, struct vhost_user_kept_fds *ret_fds);
// Its front-end has begun a message and not ended it, or does not read its answers.
bool vhost_link_is_midway(const struct guest_link *link);
// link: just created, with the former connection's socket. Takes the descriptors in any case. 0: it
// goes on. Else an error, and it is to be destroyed.
int vhost_link_restore(struct guest_link *link, const struct vhost_user_kept *kept, struct vhost_user_kept_fds *fds);

void vhost_link_drop(const struct vhost_user_kept_fds *fds); // closes them, some time

#define VHOST_LINK_MESSAGES 16 // read of one link, before others have their turn

// For a kind of links that reads such a socket, too: 1: a message is there, whole, and each of its
// descriptors is of its kind. 0: not yet. Else an error of guest_link_read.
int vhost_link_receive(struct guest_link *link, struct vhost_user *user);
