// A guest's rings as workers use them (rtvs/guest_ring.h). guest_link.c makes rings come and go.
#pragma once

#include "rtvs/guest_ring.h"
#include "rtvs/vhost_user.h"

#include <stdatomic.h>

struct port_io;

#define GUEST_TO(pair) ((pair) * 2u) // ring of packets to the guest; virtio's receive queue
#define GUEST_FROM(pair) ((pair) * 2u + 1)

// What workers know of a guest. A ring is used by one worker at a time: one from the guest by the
// worker that polls it, one to the guest by the port's owner. Whoever takes a ring, or its call,
// away waits until each worker has passed the end of a turn.
struct guest_io {
	// NULL: not running. link: wo, dp: ro
	_Atomic(struct guest_ring *) ring[VHOST_USER_MAX_RINGS];
	// eventfd that wakes the driver, -1: none. link: wo, dp: ro
	_Atomic int call[VHOST_USER_MAX_RINGS];
	// eventfd by which the driver wakes us, -1: none. As call
	_Atomic int kick[VHOST_USER_MAX_RINGS];
	_Atomic uint32_t enabled; // bit per ring. As call
	// bit per ring: its driver was not told yet that kicks are not needed. dp, link: rw
	_Atomic uint32_t loud;
	bool (*signal)(int fd, unsigned owner); // writes to a call, as vhost_guard_notify does
	unsigned owner; // of the eventfds
};

extern const struct port_io guest_io_ops; // for a device whose priv is a struct guest_io
