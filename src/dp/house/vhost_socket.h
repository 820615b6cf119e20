// The unix sockets of vhost ports. Control thread, except where it says otherwise. Failures are
// -errno with err filled.
#pragma once

#include "rtvs/dp.h"

#include <sys/types.h>

// The directory is there and may be written; path is absolute.
int vhost_socket_check_dir(const char *path, char err[DP_ERR_SIZE]);
// The uid and gid of the socket file, -1 where they stay the daemon's.
int vhost_socket_owner(const struct dp_port_cfg *cfg, uid_t *ret_uid, gid_t *ret_gid, char err[DP_ERR_SIZE]);
// A socket file without a listener remains from a crash, and is removed. Any other file at its
// place is not ours to remove:
// -EEXIST, -EADDRINUSE.
int vhost_socket_clear_stale(const char *path, char err[DP_ERR_SIZE]);
