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

// Everything that is offered with this configuration: what a driver may agree to.
uint64_t vduse_device_features(const struct vduse_device_cfg *cfg);

// Makes the device, without a link. One that is there and that no program serves is taken over: as
// it is while the vDPA bus has it, else it is made anew. Returns its descriptor, which does not
// block. -ENOTRECOVERABLE: the kernel has given the device up, and the vDPA bus still has it.
int vduse_device_open(const struct vduse_device_cfg *cfg, char err[DP_ERR_SIZE]);
// Its driver is told, if there is one. cfg: of the device.
int vduse_device_set_link(int fd, const struct vduse_device_cfg *cfg, bool is_up);
// Its descriptor is closed. -EBUSY: the vDPA bus still has it.
int vduse_device_destroy(const char *name);
