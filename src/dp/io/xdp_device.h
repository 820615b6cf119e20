// AF_XDP sockets (Documentation/networking/af_xdp.rst), one for each queue, by their descriptors,
// which may be another process's, too. A socket has four rings, which any process maps that has its
// descriptor, and the memory of its frames (UMEM), which is a file without a name. The kernel has
// pinned that file's pages, so both outlive the process that made them. Control thread.
#pragma once

#include "base/dp_error.h"
#include "netdev.h"
#include "xdp_args.h"
#include "xdp_frames.h"

#include <rte_common.h>

#include <stddef.h>
#include <xdp/xsk.h>

#define XDP_RINGS 4

// Behind the frames in their file: what the rings do not say.
struct xdp_record {
	uint32_t version, ifindex;
	char iface[IF_NAMESIZE]; // its first name
	uint32_t is_gone; // the kernel has ended the socket, as the interface was deleted or moved
	struct xdp_frames tx;
};

// Workers: rx and filled are those of the one that polls the queue, tx, done and the record's
// frames those of the one that owns the port. The control thread writes while no worker uses it.
struct xdp_queue {
	struct xsk_ring_cons rx, done; // done: sent, or not to be sent
	struct xsk_ring_prod filled, tx;
	uint8_t *frames; // XDP_FRAMES_SIZE
	struct xdp_record *record; // NULL: there is no memory
	int fd, memory_fd; // -1: there is none
	bool is_mapped; // the rings are: the socket was not ended
	struct xdp_ring_map {
		uint8_t *at;
		size_t len;
	} map[XDP_RINGS];
} __rte_cache_aligned;

struct xdp_device {
	struct xdp_queue queue[XDP_MAX_QUEUES];
	unsigned n; // queues
};

// Can this kernel map the rings of a socket that is bound (Linux 6.4)?
bool xdp_device_is_known(void);
// Makes the sockets of n queues, and attaches the library's program to the interface. 0 or a
// negative errno; waits for 0.2 s at most for a queue that a former socket still has (-EBUSY).
int xdp_device_open(const struct xdp_args *args, unsigned n, struct xdp_device *device, char err[DP_ERR_SIZE]);
// One more queue, of a process before: a socket that the kernel has ended has no rings. The
// descriptors are the device's in any case. -EPROTO: they are none of xdp_device_open's.
int xdp_device_add(struct xdp_device *device, int fd, int memory_fd);
// Before the first worker uses the rings, and after another process used them: where they stand.
// -EPROTO: what that process wrote down cannot be.
int xdp_device_resume(struct xdp_device *device);
// Unmaps and closes; the socket ends with its last descriptor.
void xdp_device_close(struct xdp_device *device);

// ret_name: by now; its first one if it is gone.
enum netdev_state xdp_device_state(struct xdp_device *device, char ret_name[IF_NAMESIZE]);
// 0: it is gone.
unsigned xdp_device_ifindex(const struct xdp_device *device);
// Of packets that were taken, those that the kernel did not send, and will not send.
uint64_t xdp_device_lost(const struct xdp_device *device);
