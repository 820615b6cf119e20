// A kernel's TAP as workers use it: a frame is one system call.
#pragma once

#include "rtvs/drop.h"
#include "tap_device.h"

#include <rte_common.h>

#include <stdatomic.h>
#include <stdbool.h>

struct netdev_watch;
struct port_io;
struct rte_mbuf;

#define TAP_REST_SIZE (64u << 10) // the longest frame of an interface

// The worker that polls it has the queue's frame that is not whole.
struct tap_queue {
	struct rte_mbuf *m; // the next frame; NULL: it has no buffer
	uint32_t n_rest, rest_at; // bytes of it that are not in m
	uint8_t *rest;
} __rte_cache_aligned;

struct tap_io {
	struct tap_device device; // no queues: its descriptors are still to come
	struct tap_queue queue[TAP_MAX_QUEUES];
	struct netdev_watch *netdevs; // of the datapath
	// Its link was read because the device took nothing, and has not changed since; dp, ctl:
	// rw.
	_Atomic bool is_doubted;
	_Atomic uint32_t mtu; // as is_running
	_Atomic bool is_running; // ctl: wo, dp: ro
};

int tap_io_init(struct tap_io *t, unsigned n_queues); // -ENOMEM. t is all zeroes
void tap_io_fini(struct tap_io *t); // no worker uses it
// No worker uses it. Drops what waits in the kernel, n frames of a queue at most.
void tap_io_discard(struct tap_io *t, unsigned n);

extern const struct port_io tap_io_ops; // for a device whose priv is a struct tap_io
