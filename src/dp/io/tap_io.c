// Frames of a kernel's TAP, each read into a packet buffer and what is behind it. The length of a
// frame is only known then, so a frame that is longer than one buffer is copied on from there. A
// TAP that is not running returns no frames and takes none.
// Invariant: a frame that was read is returned, though it may wait for buffers.
#include "tap_io.h"

#include "base/pkt.h"
#include "device.h"
#include "frame.h"
#include "netdev.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_PARTS 64 // buffers of a packet that is written

// Appends the rest of the frame. False: there are no more buffers for the moment.
static bool
append_rest(struct tap_queue *queue, struct rte_mempool *pool)
{
	uint32_t n = frame_append(queue->m, pool, queue->rest + queue->rest_at, queue->n_rest);

	queue->rest_at += n;
	queue->n_rest -= n;
	return !queue->n_rest;
}

// NULL: there is no frame, or no buffer.
static struct rte_mbuf *
receive(struct tap_queue *queue, int fd, struct rte_mempool *pool)
{
	struct rte_mbuf *m;

	if (!queue->m)
		queue->m = rte_pktmbuf_alloc(pool);
	m = queue->m;
	if (m && !m->pkt_len) {
		const struct iovec to[] = {
			{.iov_base = rte_pktmbuf_mtod(m, void *), .iov_len = rte_pktmbuf_tailroom(m)},
			{.iov_base = queue->rest, .iov_len = TAP_REST_SIZE},
		};
		ssize_t n = readv(fd, to, 2);

		if (n <= 0)
			return NULL;
		m->pkt_len = (uint32_t)RTE_MIN((size_t)n, to[0].iov_len);
		m->data_len = (uint16_t)m->pkt_len;
		queue->n_rest = (uint32_t)n - m->pkt_len;
		queue->rest_at = 0;
	}
	if (!m || !append_rest(queue, pool))
		return NULL;
	queue->m = NULL;
	return m;
}

static uint16_t
tap_rx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct tap_io *t = device->priv;
	uint16_t got = 0;

	if (!atomic_load_explicit(&t->is_running, memory_order_acquire) || q >= t->device.n)
		return 0;
	while (got < n && (pkts[got] = receive(&t->queue[q], t->device.fd[q], device->pool)))
		got++;
	return got;
}

// 0; -EAGAIN: not now; or why never.
static int
send_frame(const struct tap_io *t, int fd, const struct rte_mbuf *m)
{
	struct iovec part[MAX_PARTS];
	int n = 0;

	if (m->pkt_len > atomic_load_explicit(&t->mtu, memory_order_relaxed) + FRAME_EXTRA || m->nb_segs > MAX_PARTS)
		return -EMSGSIZE;
	for (; m; m = m->next)
		part[n++] = (struct iovec){.iov_base = rte_pktmbuf_mtod(m, void *), .iov_len = m->data_len};
	if (writev(fd, part, n) > 0)
		return 0;
	switch (errno) {
	case EAGAIN:
	case EINTR:
	case ENOBUFS:
	case ENOMEM:
	case EIO: // it is down
	case EBADFD: // it is gone
		return -EAGAIN;
	default:
		return -errno;
	}
}

static uint16_t
tap_tx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	struct tap_io *t = device->priv;
	struct rte_mbuf *taken[PORT_BURST];
	uint16_t done, n_taken = 0;

	if (!atomic_load_explicit(&t->is_running, memory_order_acquire) || q >= t->device.n)
		return 0;
	for (done = 0; done < n; done++) {
		int rc = send_frame(t, t->device.fd[q], pkts[done]);

		if (rc == -EAGAIN)
			break;
		if (rc)
			port_refuse(refused, done, DROP_REFUSED);
		else
			taken[n_taken++] = pkts[done];
	}
	pkt_free_burst(taken, n_taken);
	if (done < n && !atomic_load_explicit(&t->is_doubted, memory_order_relaxed)) {
		atomic_store_explicit(&t->is_doubted, true, memory_order_relaxed);
		netdev_watch_wake(t->netdevs);
	}
	return done;
}

static int
tap_arm(struct device *device, uint16_t q, bool is_on)
{
	const struct tap_io *t = device->priv;

	(void)is_on; // it tells of each frame
	if (!atomic_load_explicit(&t->is_running, memory_order_acquire) || q >= t->device.n)
		return -2; // its start moves wakeup_gen
	return t->device.fd[q];
}

int
tap_io_init(struct tap_io *t, unsigned n_queues)
{
	for (unsigned i = 0; i < n_queues; i++) {
		t->queue[i].rest = malloc(TAP_REST_SIZE);
		if (!t->queue[i].rest) {
			tap_io_fini(t);
			return -ENOMEM;
		}
	}
	return 0;
}

void
tap_io_fini(struct tap_io *t)
{
	tap_device_close(&t->device);
	for (unsigned i = 0; i < TAP_MAX_QUEUES; i++) {
		pkt_free(t->queue[i].m);
		free(t->queue[i].rest);
	}
}

void
tap_io_discard(struct tap_io *t, unsigned n)
{
	for (unsigned q = 0; q < t->device.n; q++) {
		pkt_free(t->queue[q].m);
		t->queue[q].m = NULL;
		t->queue[q].n_rest = 0;
		for (unsigned i = 0; i < n && read(t->device.fd[q], t->queue[q].rest, TAP_REST_SIZE) > 0; i++)
			;
	}
}

const struct port_io tap_io_ops = {
	.rx = tap_rx,
	.tx = tap_tx,
	.arm = tap_arm,
};
