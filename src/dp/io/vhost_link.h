// A vhost-user front-end's connection (guest_link.h): its socket and its messages
// (rtvs/vhost_user.h).
#pragma once

#include "guest_link.h"

// cfg->fd: its connected socket. NULL: no memory, or n_pairs is out of range; the socket is closed.
struct guest_link *vhost_link_create(const struct guest_link_cfg *cfg);
