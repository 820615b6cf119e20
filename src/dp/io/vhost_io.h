// A guest's rings as workers use them, through librte_vhost.
#pragma once

#include "rtvs/chain.h"
#include "rtvs/dp.h"

#include <rte_mbuf.h>

#include <stdatomic.h>

struct port_io;

#define VHOST_NO_VID (-1)
#define VHOST_RXQ(pair) ((uint16_t)((pair) * 2)) // virtio's receive queue: we give packets to it
#define VHOST_TXQ(pair) ((uint16_t)((pair) * 2 + 1))

// The workers' knowledge of a port's front-end. vhost_session.c writes it, workers read it, unless
// stated otherwise.
struct vhost_io {
	_Atomic int vid; // VHOST_NO_VID: none whose driver is ready
	_Atomic uint32_t rx_pairs, tx_pairs; // enabled: packets from the guest, to the guest
	// Pairs whose guests were not told yet that kicks are not needed; dp: rw.
	_Atomic uint32_t loud_pairs;
	_Atomic int kick_fd[DP_MAX_QUEUES]; // -1: none
	_Atomic uint64_t features;
	struct empty_polls {
		uint32_t n; // in a row
		bool was_waiting, is_told;
	} empty[DP_MAX_QUEUES]; // dp, the queue's worker
};

extern const struct port_io vhost_io_ops; // for a device whose priv is a struct vhost_io
