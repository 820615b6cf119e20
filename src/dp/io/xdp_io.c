// Frames of AF_XDP sockets. A frame that was received is copied into a packet buffer, and is the
// kernel's again before the function returns; a packet without a buffer stays in the ring. Nothing
// waits for the kernel: what it does not send at once stays in the ring, and it is asked again with
// the next packets, when the queue is polled, and by the control thread.
// Invariant: between two calls a frame is in a ring, with the kernel, or written down as free. So
// another process can go on at any such moment.
#include "xdp_io.h"

#include "base/pkt.h"
#include "device.h"
#include "frame.h"
#include "netdev.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define KICKS 4 // system calls for a burst: one sends 32 packets

// NULL: there is no buffer.
static struct rte_mbuf *
copy_in(const struct xdp_queue *q, const struct xdp_desc *desc, struct rte_mempool *pool)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m && frame_append(m, pool, q->frames + desc->addr, desc->len) < desc->len) {
		pkt_free(m);
		return NULL;
	}
	return m;
}

// The ring has a place for each frame; 0: the kernel says that it has not. Returns how many.
static uint32_t
give_back(struct xdp_queue *q, const struct xdp_desc *desc)
{
	uint32_t at, n = xsk_ring_prod__reserve(&q->filled, 1, &at);

	if (n)
		*xsk_ring_prod__fill_addr(&q->filled, at) = xdp_frames_base(desc->addr);
	return n;
}

// A driver without copies stops when it has no frames, and is told that there are some.
static void
wake_receiver(struct xdp_queue *q)
{
	if (xsk_ring_prod__needs_wakeup(&q->filled))
		(void)recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static uint16_t
receive(struct device *device, struct xdp_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	uint32_t at = 0, has = xsk_ring_cons__peek(&q->rx, n, &at), done, n_filled = 0;
	uint16_t got = 0;

	for (done = 0; done < has; done++) {
		const struct xdp_desc desc = *xsk_ring_cons__rx_desc(&q->rx, at + done);

		if (unlikely(!xdp_frames_is_received(desc.addr, desc.len))) {
			atomic_fetch_add(&device->guest_errors, 1);
			continue;
		}
		pkts[got] = copy_in(q, &desc, device->pool);
		if (!pkts[got])
			break;
		got++;
		n_filled += give_back(q, &desc);
	}
	xsk_ring_cons__cancel(&q->rx, has - done);
	if (n_filled)
		xsk_ring_prod__submit(&q->filled, n_filled);
	if (done)
		xsk_ring_cons__release(&q->rx, done);
	return got;
}

static bool
has_unsent(const struct xdp_queue *q)
{
	return __atomic_load_n(q->tx.consumer, __ATOMIC_RELAXED) != __atomic_load_n(q->tx.producer, __ATOMIC_RELAXED);
}

// False: the kernel left packets in the ring that it wants to be asked for again.
static bool
kick(const struct xdp_queue *q)
{
	for (unsigned i = 0; i < KICKS; i++) {
		if (!xsk_ring_prod__needs_wakeup(&q->tx) || !has_unsent(q))
			return true;
		if (sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN && errno != EBUSY)
			break;
	}
	return !xsk_ring_prod__needs_wakeup(&q->tx) || !has_unsent(q);
}

void
xdp_io_kick(struct xdp_io *x, unsigned queue)
{
	if (x->device.queue[queue].is_mapped &&
		atomic_exchange_explicit(&x->is_waiting[queue], false, memory_order_relaxed) &&
		!kick(&x->device.queue[queue]))
		atomic_store_explicit(&x->is_waiting[queue], true, memory_order_relaxed);
}

static bool
is_usable(const struct xdp_io *x, uint16_t q)
{
	return atomic_load_explicit(&x->is_running, memory_order_acquire) && q < x->device.n;
}

static uint16_t
xdp_rx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct xdp_io *x = device->priv;

	if (!is_usable(x, q))
		return 0;
	if (unlikely(atomic_load_explicit(&x->is_waiting[q], memory_order_relaxed)))
		xdp_io_kick(x, q);
	n = receive(device, &x->device.queue[q], pkts, n);
	wake_receiver(&x->device.queue[q]);
	return n;
}

static void
reclaim(struct device *device, struct xdp_queue *q)
{
	uint32_t at = 0, n = xsk_ring_cons__peek(&q->done, XDP_TX_FRAMES, &at);

	for (uint32_t i = 0; i < n; i++)
		if (!xdp_frames_give(&q->record->tx, *xsk_ring_cons__comp_addr(&q->done, at + i)))
			atomic_fetch_add(&device->guest_errors, 1);
	if (n)
		xsk_ring_cons__release(&q->done, n);
}

// False: the kernel has all frames.
static bool
copy_out(struct xdp_queue *q, const struct rte_mbuf *m)
{
	uint32_t at, len = m->pkt_len;
	uint64_t addr;
	uint8_t *to;

	if (!xdp_frames_take(&q->record->tx, &addr))
		return false;
	if (!xsk_ring_prod__reserve(&q->tx, 1, &at)) {
		(void)xdp_frames_give(&q->record->tx, addr);
		return false;
	}
	for (to = q->frames + addr; m; to += m->data_len, m = m->next)
		memcpy(to, rte_pktmbuf_mtod(m, const void *), m->data_len);
	*xsk_ring_prod__tx_desc(&q->tx, at) = (struct xdp_desc){.addr = addr, .len = len};
	return true;
}

static uint16_t
xdp_tx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	struct xdp_io *x = device->priv;
	struct xdp_queue *queue = &x->device.queue[q];
	uint32_t longest = atomic_load_explicit(&x->mtu, memory_order_relaxed) + FRAME_EXTRA;
	struct rte_mbuf *taken[PORT_BURST];
	uint16_t done, n_taken = 0;

	if (!is_usable(x, q))
		return 0;
	reclaim(device, queue);
	for (done = 0; done < n; done++) {
		if (pkts[done]->pkt_len > RTE_MIN(longest, XDP_FRAME_SIZE))
			port_refuse(refused, done, DROP_REFUSED);
		else if (copy_out(queue, pkts[done]))
			taken[n_taken++] = pkts[done];
		else
			break;
	}
	if (n_taken)
		xsk_ring_prod__submit(&queue->tx, n_taken);
	pkt_free_burst(taken, n_taken);
	if (!kick(queue) && !atomic_exchange_explicit(&x->is_waiting[q], true, memory_order_relaxed))
		netdev_watch_wake(x->netdevs);
	return done;
}

static int
xdp_arm(struct device *device, uint16_t q, bool is_on)
{
	const struct xdp_io *x = device->priv;

	(void)is_on; // it tells of each burst
	return is_usable(x, q) ? x->device.queue[q].fd : -2; // its start moves wakeup_gen
}

void
xdp_io_discard(struct xdp_io *x)
{
	for (unsigned i = 0; i < x->device.n; i++) {
		struct xdp_queue *q = &x->device.queue[i];
		uint32_t at = 0, n = q->is_mapped ? xsk_ring_cons__peek(&q->rx, XDP_RX_FRAMES, &at) : 0, n_filled = 0;

		for (uint32_t j = 0; j < n; j++) {
			const struct xdp_desc desc = *xsk_ring_cons__rx_desc(&q->rx, at + j);

			if (xdp_frames_is_received(desc.addr, desc.len))
				n_filled += give_back(q, &desc);
		}
		if (n_filled)
			xsk_ring_prod__submit(&q->filled, n_filled);
		if (n)
			xsk_ring_cons__release(&q->rx, n);
	}
}

const struct port_io xdp_io_ops = {
	.rx = xdp_rx,
	.tx = xdp_tx,
	.arm = xdp_arm,
};
