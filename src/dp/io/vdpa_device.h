// A device that moves a guest's rings itself: hardware with a driver of DPDK's vDPA class
// (rte_vdpa.h). librte_vhost configures it by the messages of a vhost-user front-end. It gets them
// through a socket of the daemon's own (vdpa_link.h), never from the front-end. The library is
// loaded with the first device. Control thread, unless a function says otherwise.
#pragma once

#include "rtvs/dp.h"

#include <stdbool.h>
#include <stdint.h>

struct vdpa_device;

struct vdpa_device_cfg {
	unsigned id; // no other open device has it; below DP_MAX_PORTS
	const char *devargs; // "0000:03:00.2", "0000:03:00.2,class=vdpa,queue_size=1024"
	uint64_t hidden; // features that the guest is not to be offered
	uint32_t n_pairs; // of queues at most
};

// Errors: -ENODEV (there is no such device, or no vDPA driver for it), -EBUSY (it is in use as a
// network device), -ENOTSUP (no librte_vhost), -ENOMEM, others of DPDK. DPDK's drivers are open
// (house/eal.h).
int vdpa_device_open(const struct vdpa_device_cfg *cfg, struct vdpa_device **ret_device, char err[DP_ERR_SIZE]);
// Its connections are closed. Waits for the device's driver, never for a guest. NULL is accepted.
void vdpa_device_close(struct vdpa_device *device);

// Its statistics by queue, at most max; how many. 0 also where the driver has none.
unsigned vdpa_device_stats(struct vdpa_device *device, struct dp_device_stat *ret_stats, unsigned max);

// The thread of connections. connect: a socket, which does not block, for the messages of one
// front-end; or a negative errno. Its changes: an eventfd of the device. is_running: a guest's
// rings are set up, and the device has them.
int vdpa_device_connect(const struct vdpa_device *device);
int vdpa_device_changes(const struct vdpa_device *device);
bool vdpa_device_is_running(const struct vdpa_device *device);
