// One VDUSE device that is a network card, as its program in user space serves it: the kernel's
// requests in, responses and effects out. Pure: the caller owns the device's descriptor, and asks
// the kernel what is to be asked.
// Source: linux/vduse.h, and drivers/vdpa/vdpa_user/vduse_dev.c of Linux 6.12.
//
// The kernel says when the driver is ready and when memory goes. It says neither when a ring is
// ready nor when memory comes, and a driver may do both after its DRIVER_OK. So rings are looked
// for: vduse_look starts them when the first buffer was offered, since its memory is there by then.
// The kernel delivers no interrupt before it has read the response to DRIVER_OK; no ring runs
// before.
#pragma once

#include "rtvs/guest_mem.h"
#include "rtvs/guest_ring.h"

#include <linux/vduse.h>
#include <stdbool.h>
#include <stdint.h>

#define VDUSE_N_RINGS 2 // one queue pair: the kernel refuses the control queue that more would need

// Those that return int: 0, or what is said there, or a negative errno.
struct vduse_ops {
	// Answers of the kernel. ring: of info->index. has_driver: the device's status has
	// DRIVER_OK. find: a descriptor of the first region of memory that overlaps the entry's
	// range, -EINVAL: none does.
	int (*features)(void *arg, uint64_t *ret_features);
	int (*ring)(void *arg, struct vduse_vq_info *info);
	bool (*has_driver)(void *arg);
	int (*find)(void *arg, struct vduse_iotlb_entry *entry);
	// Effects. listen: kicks are wanted, which a reset has ended. start: is_resumed says that
	// the ring ran with another program, which may have kept where it stands; a ring that its
	// driver has set up since begins at cfg->pos. Others: rtvs/vhost_user.h.
	void (*listen)(void *arg);
	int (*map)(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host);
	void (*unmap)(void *arg, uint8_t *host, uint64_t n_bytes);
	void (*close)(void *arg, int fd);
	int (*start)(void *arg, unsigned ring, const struct guest_ring_cfg *cfg, bool is_resumed);
	void (*stop)(void *arg, unsigned ring, struct guest_ring_pos *ret_pos);
};

struct vduse_cfg {
	const struct vduse_ops *ops;
	void *arg; // of them
	uint64_t features; // offered
};

struct vduse_ring {
	struct guest_ring_pos pos; // while it is stopped, if it has one
	bool has_pos, is_running;
};

struct vduse {
	struct vduse_cfg cfg;
	uint64_t features; // that the driver agreed to
	uint8_t status; // of the device, as the kernel told it
	// Rings ran with another program before, which told nobody where they stand.
	bool is_resumed;
	struct guest_mem mem;
	struct vduse_ring ring[VDUSE_N_RINGS];
};

// A device that has a driver already is resumed: its program has died, or was replaced.
void vduse_init(struct vduse *v, const struct vduse_cfg *cfg);

// Does the request stop rings or take memory away? Nothing may use them then while it is handled.
bool vduse_is_change(const struct vduse *v, const struct vduse_dev_request *request);

// Any request is answered, with a failure where it has no meaning.
void vduse_handle(struct vduse *v, const struct vduse_dev_request *request, struct vduse_dev_response *ret_response);

// After requests were answered, after kicks, and some time later: starts rings that can be. True: a
// driver is there whose rings do not all run.
bool vduse_look(struct vduse *v);

void vduse_fini(struct vduse *v); // stops all rings, unmaps all
