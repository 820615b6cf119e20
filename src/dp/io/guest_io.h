// A guest's rings as workers use them (rtvs/guest_ring.h). guest_link.c makes rings come and go.
#pragma once

#include "rtvs/guest_ring.h"
#include "rtvs/vhost_user.h"

#include <stdatomic.h>

struct device;
struct port_io;
struct rte_mbuf;

#define GUEST_TO(pair) ((pair) * 2u) // ring of packets to the guest; virtio's receive queue
#define GUEST_FROM(pair) ((pair) * 2u + 1)

// A ring and what goes with it.
struct guest_queue {
	struct guest_ring ring;
	_Atomic bool is_enabled; // link: wo
	_Atomic int call; // wakes the driver, as `signal` knows it, -1: nothing does. link: wo
	int kick; // eventfd by which the driver wakes us, -1: none
	unsigned owner; // the same for `signal`
	// While its driver was not told what was used in this turn; dp.
	bool is_used;
	struct guest_queue *next;
	const struct guest_io *io;
};

// What workers know of a guest. A queue is used by one worker at a time: one from the guest by the
// worker that polls it, one to the guest by the port's owner. Whoever takes a queue away may change
// it when each worker has passed the end of a turn.
struct guest_io {
	// MAC of a guest that has come, to be told as if it had sent a frame itself, 0: none. link:
	// wo, dp: takes it
	_Atomic uint64_t announced;
	// NULL: not running. link: wo, dp: ro.
	_Atomic(struct guest_queue *) queue[VHOST_USER_MAX_RINGS];
	// Wakes a queue's driver by the queue's call and owner: vhost_guard_notify, where these are
	// an eventfd and the number of its connection (vhost_owner.h); or vduse_link_signal.
	bool (*signal)(int call, unsigned owner);
};

// The thread of connections: a guest has moved here.
void guest_io_announce(struct guest_io *g, const uint8_t mac[6]);

// Would the device's rx find nothing, as it found nothing the last time? A worker that looks first
// saves the call, for pairs that it uses. False where that is not known.
static inline bool
guest_io_is_quiet(const struct guest_io *g, unsigned pair)
{
	// Found as by all who use the queue: it may be taken away with its memory.
	const struct guest_queue *q = atomic_load_explicit(&g->queue[GUEST_FROM(pair)], memory_order_acquire);

	return q && !(guest_ring_peek(&q->ring) | atomic_load_explicit(&g->announced, memory_order_relaxed));
}

extern const struct port_io guest_io_ops; // for a device whose priv is a struct guest_io

bool guest_io_is_announced(const struct guest_io *g); // guest_io_ops.rx has its frame

// Frames of a guest without packets around them, which is what most frames never need: their heads
// are in the pool's buffers, their rest is still the guest's. Between guest_io_take and
// guest_io_wrap nothing else uses the turn.

// Takes up to n (PORT_BURST) frames; how many. guest_io_wrap must follow unless that is 0.
uint16_t guest_io_take(struct device *device, uint16_t pair, uint16_t n);
// They, until guest_io_wrap. Their heads have RTE_PKTMBUF_HEADROOM bytes before them, for headers.
struct guest_frame *guest_io_taken(void);
// n of these, which[], none of which asks for anything, are copied into another guest's buffers.
// How many, from the front: the device's tx tells what the next one needs.
uint16_t guest_io_pass(struct device *to, uint16_t pair, const uint8_t *which, uint16_t n);
// All n from the first on are done with, but those that are not in the set `gone` become packets.
// How many: what is too long, or finds no buffers, is an error of the guest.
uint16_t guest_io_wrap(struct device *device, uint16_t first, uint16_t n, uint32_t gone, struct rte_mbuf **pkts);

// A worker's turn, as guests see it. Packets longer than GUEST_HEAD bytes are borrowed (base/pkt.h)
// until the turn ends; then drivers learn what was used of their rings: one fence, and one look at
// each ring for the signal that its driver may want, however many bursts there were.
struct guest_turn;

struct guest_turn *guest_io_turn_create(void); // NULL: no memory
void guest_io_turn_destroy(struct guest_turn *turn); // NULL is accepted
// The calling thread's turns are this one's, before it uses any device of guest_io_ops.
void guest_io_turn_join(struct guest_turn *turn);
// No packet is borrowed any more. Between two bursts: in a long turn drivers learn of the first
// bursts before its end.
void guest_io_turn_step(void);
// As before, before the worker says that it is quiescent.
void guest_io_turn_end(void);
