// AF_XDP sockets as workers use them: a frame is copied once more, between the socket's memory and
// a packet buffer, and a burst that is sent costs one system call.
#pragma once

#include "rtvs/drop.h"
#include "xdp_device.h"

#include <stdatomic.h>
#include <stdbool.h>

struct netdev_watch;
struct port_io;

struct xdp_io {
	struct xdp_device device; // no queues: its descriptors are still to come
	struct netdev_watch *netdevs; // of the datapath
	// Packets wait in the queue's ring, as the kernel did not send them at once; any thread.
	_Atomic bool is_waiting[XDP_MAX_QUEUES];
	_Atomic uint32_t mtu; // as is_running
	_Atomic bool is_running; // ctl: wo, dp: ro
};

// Any thread: asks the kernel again to send what waits.
void xdp_io_kick(struct xdp_io *x, unsigned queue);
// No worker uses it. Drops what has been received.
void xdp_io_discard(struct xdp_io *x);

extern const struct port_io xdp_io_ops; // for a device whose priv is a struct xdp_io
