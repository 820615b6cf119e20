// Packets from and to a guest's rings, through librte_vhost. A guest without a driver, or one that
// has not enabled a queue, returns none and takes none there. This file also detects what
// librte_vhost does not report (a ring that stands still, a packet that fits no buffer). All here
// runs on workers; vhost_session.c says which device they use.
#define ALLOW_EXPERIMENTAL_API // rte_vhost_notify_guest
#include "vhost_io.h"

#include "base/pkt.h"
#include "device.h"
#include "vhost_ring.h"

#include <rte_vhost.h>

#include <linux/virtio_config.h>

#define FITS_ALWAYS 1514 // bytes of a frame that each buffer must hold (Virtio 1.2, 5.1.6.3.1)
#define STUCK_POLLS 1024 // empty ones in a row between two looks at a ring that may stand still

// A ring with packets in it of which the library takes none, time after time, has a descriptor that
// lies: the queue stands still until the guest's driver resets it. Split rings only; the library
// counts no packed ones.
static void
check_stuck(struct device *device, struct vhost_io *v, int vid, uint16_t q)
{
	struct empty_polls *e = &v->empty[q];
	bool is_packed = atomic_load_explicit(&v->features, memory_order_relaxed) >> VIRTIO_F_RING_PACKED & 1;
	bool is_waiting = !is_packed && rte_vhost_rx_queue_count(vid, VHOST_TXQ(q));

	if (is_waiting && e->was_waiting && !e->is_told) {
		atomic_fetch_add_explicit(&device->guest_errors, 1, memory_order_relaxed);
		e->is_told = true;
	}
	e->was_waiting = is_waiting;
}

static uint16_t
vhost_rx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhost_io *v = device->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);
	uint16_t got;

	if (vid == VHOST_NO_VID || !(atomic_load_explicit(&v->rx_pairs, memory_order_relaxed) >> q & 1))
		return 0;
	if (unlikely(atomic_load_explicit(&v->loud_pairs, memory_order_relaxed) >> q & 1)) {
		atomic_fetch_and(&v->loud_pairs, ~(1u << q));
		(void)rte_vhost_enable_guest_notification(vid, VHOST_TXQ(q), 0);
		(void)rte_vhost_enable_guest_notification(vid, VHOST_RXQ(q), 0);
	}
	got = rte_vhost_dequeue_burst(vid, VHOST_TXQ(q), device->pool, pkts, n);
	if (got)
		v->empty[q] = (struct empty_polls){0};
	else if (unlikely(++v->empty[q].n % STUCK_POLLS == 0))
		check_stuck(device, v, vid, q);
	return got;
}

static uint16_t
vhost_tx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	struct vhost_io *v = device->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);
	uint16_t sent, more;

	if (vid == VHOST_NO_VID || !(atomic_load_explicit(&v->tx_pairs, memory_order_relaxed) >> q & 1))
		return 0;
	sent = rte_vhost_enqueue_burst(vid, VHOST_RXQ(q), pkts, n);
	// A packet that the library does not take though the guest offers buffers fits into none.
	// The guest may have offered them after the library looked: a further attempt tells.
	while (unlikely(sent < n && pkts[sent]->pkt_len > FITS_ALWAYS &&
		vhost_ring_offers(vid, VHOST_RXQ(q), atomic_load_explicit(&v->features, memory_order_relaxed)))) {
		more = rte_vhost_enqueue_burst(vid, VHOST_RXQ(q), pkts + sent, (uint16_t)(n - sent));
		sent = (uint16_t)(sent + more);
		if (!more) {
			port_refuse(refused, sent, DROP_REFUSED);
			break;
		}
	}
	pkt_free_burst(pkts, sent);
	return refused->set ? sent + 1 : sent;
}

static int
vhost_arm(struct device *device, uint16_t q, bool is_on)
{
	struct vhost_io *v = device->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);
	int fd = atomic_load_explicit(&v->kick_fd[q], memory_order_relaxed);

	// No front-end, or a queue that the guest does not use: the front-end's next message wakes
	// through wakeup_gen.
	if (vid == VHOST_NO_VID || !(atomic_load_explicit(&v->rx_pairs, memory_order_relaxed) >> q & 1))
		return -2;
	(void)rte_vhost_enable_guest_notification(vid, VHOST_TXQ(q), is_on);
	if (is_on) // it is about to be polled less often
		check_stuck(device, v, vid, q);
	return fd >= 0 ? fd : -1;
}

static bool
vhost_look(struct device *device, uint16_t q, struct chain_ring *ret_ring)
{
	struct vhost_io *v = device->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);

	return vid != VHOST_NO_VID &&
		vhost_ring_look(vid, VHOST_RXQ(q), atomic_load_explicit(&v->features, memory_order_relaxed), ret_ring);
}

static void
vhost_kick(struct device *device, uint16_t q)
{
	struct vhost_io *v = device->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);

	if (vid != VHOST_NO_VID)
		rte_vhost_notify_guest(vid, VHOST_RXQ(q));
}

const struct port_io vhost_io_ops = {
	.rx = vhost_rx,
	.tx = vhost_tx,
	.arm = vhost_arm,
	.look = vhost_look,
	.kick = vhost_kick,
};
