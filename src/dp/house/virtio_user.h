// What a path in the devargs of net_virtio_user is: DPDK's driver is the guest of a vhost-user
// socket, or of a device of the kernel's vDPA bus by its file (vhost_vdpa). Control thread.
#pragma once

#include "base/dp_error.h"

#include <stdbool.h>

// The driver (24.11) never reads the link of such a device, and calls it down.
bool virtio_user_is_vdpa(const char *path);

// Why the driver made no device of the path, of which it tells nothing: a negative errno, described
// in err; 0: the path is none of the reasons. A device in use is one that does not open.
int virtio_user_explain(const char *path, char err[DP_ERR_SIZE]);
