// A VDUSE device as a link (guest_link.h): the kernel's requests (rtvs/vduse.h) come from its
// descriptor, which speaks for whatever driver the vDPA bus has bound to it.
#pragma once

#include "guest_link.h"

// cfg->fd: of the device (vduse_device.h); what it offers is cfg->features. NULL: no memory, or no
// descriptors; the device's is closed.
struct guest_link *vduse_link_create(const struct guest_link_cfg *cfg);

// For struct guest_io: tells the driver of the device's ring. The call may wait for the kernel,
// while that resets the device, but for no process.
bool vduse_link_signal(int device, unsigned ring);
