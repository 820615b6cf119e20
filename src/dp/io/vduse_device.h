// The kernel's side of a VDUSE network card: it is made, found again, changed and ended. Control
// thread. Failures are -errno with err filled.
#pragma once

#include "rtvs/dp.h"

struct vduse_device_cfg {
	const char *name; // of the device, below /dev/vduse
	// Offered. Those that the kernel wants are added, and those of the rest.
	uint64_t features;
	const uint8_t *mac; // NULL: its driver makes one up
	uint16_t mtu;
};

// Everything that is offered with this configuration: what a driver may agree to. With a MAC, which
// only a device that was made with one has.
uint64_t vduse_device_features(const struct vduse_device_cfg *cfg);

// Makes the device, without a link. One that is there and that no program serves is taken over: as
// it is while the vDPA bus has it, else it is made anew. Returns its descriptor, which does not
// block. *ret_is_stale: the bus has one that must be made anew, and err says why: the kernel has
// given it up, or its driver agreed to what is not offered any more.
int vduse_device_open(const struct vduse_device_cfg *cfg, bool *ret_is_stale, char err[DP_ERR_SIZE]);
// MAC (NULL: as it is), MTU and link, as drivers read them when they are bound. One that is bound
// looks at the link alone, which it is told of.
int vduse_device_set(int fd, const struct vduse_device_cfg *cfg, bool is_up);
bool vduse_device_has_driver(int fd); // set up, also while its interface is down
// Its descriptor is closed. -EBUSY: the vDPA bus still has it.
int vduse_device_destroy(const char *name);
