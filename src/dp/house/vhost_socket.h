// The unix sockets of vhost ports. Control thread, except where it says otherwise. Failures are
// -errno with err filled.
#pragma once

#include "rtvs/dp.h"

// A socket that listens at cfg->socket, with the configured owner and mode from its first moment
// on. Returns it, or an error: also where another file or another process's socket has the place
// (-EEXIST, -EADDRINUSE). A socket file without a listener remains from a crash, and is removed.
int vhost_socket_listen(const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]);
// A socket that is connected to path, or a negative errno.
int vhost_socket_connect(const char *path);
