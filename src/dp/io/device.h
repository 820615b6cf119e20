// A device that packets go into and come out of. port_io hides the method, so that another ring
// path needs no change outside its file. A device knows neither its port nor its configuration.
#pragma once

#include "rtvs/chain.h"
#include "rtvs/drop.h"

#include <rte_mbuf.h>

#include <stdatomic.h>

#define PORT_BURST 32 // packets taken or given at once

struct device;

// Packets of a burst that a device will never take, as bits, and why each.
struct port_refused {
	uint32_t set;
	enum drop why[PORT_BURST];
};

// How packets get in and out of a device: the functions of workers.
struct port_io {
	// The worker that polls queue q.
	uint16_t (*rx)(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n);
	// The worker that owns the port. Returns how many packets, from the front, the device is
	// done with: it took them, but for those that it adds to *refused. Refused packets and the
	// rest stay the caller's; the rest can be taken later: the device is full.
	uint16_t (*tx)(
		struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused);
	// Before and after a worker sleeps: asks for (or forbids) a wake-up when queue q gets work.
	// Returns a descriptor to wait for, edge-triggered, or -1: the queue must be polled; -2:
	// something else wakes the worker.
	int (*arm)(struct device *device, uint16_t q, bool is_on);
	// Guests only, else NULL. The worker that owns the port: how far the guest is with queue q,
	// false: it cannot be told; and a kick that nothing was put for.
	bool (*look)(struct device *device, uint16_t q, struct chain_ring *ret_ring);
	void (*kick)(struct device *device, uint16_t q);
	// tx reads all bytes of a packet before it returns, and so takes borrowed ones (pkt.h).
	bool takes_borrowed;
};

// The work that the device's far side does itself; the rest is done in software before.
enum port_cap {
	PORT_CAP_CSUM = 1, // of TCP and UDP behind tags and plain IP headers
	PORT_CAP_TSO4 = 2,
	PORT_CAP_TSO6 = 4,
	PORT_CAP_SEGS = 8, // chained buffers
	PORT_CAP_ANYWHERE = 16, // checksums and segments behind any headers
	PORT_CAP_ALL = 31
};

// The control thread sets io, priv and pool before workers know of the device.
struct device {
	const struct port_io *io; // NULL: there is none, as for a tunnel
	void *priv; // as the file of io says
	struct rte_mempool *pool; // of the buffers that it receives into
	_Atomic bool is_up; // vhost thread, ctl: wo; dp: ro. Packets may be given to it
	_Atomic bool is_away; // its guest goes on soon, packets wait until then. As is_up
	_Atomic uint32_t caps; // enum port_cap. As is_up
	_Atomic uint32_t n_txq; // queues that take packets, 1 at least. As is_up
	_Atomic uint64_t guest_errors; // any thread
};

static inline void
port_refuse(struct port_refused *refused, uint16_t i, enum drop why)
{
	refused->set |= UINT32_C(1) << i;
	refused->why[i] = why;
}
