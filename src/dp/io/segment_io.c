// A segment's frames become packets, and packets its frames. A frame is copied out of its slots,
// and only the copy is read; its slots are free again at once. Frames that find no packet buffer
// wait. Frames for a node without room are dropped: a stopped node costs others nothing.
#include "segment_io.h"

#include "base/pkt.h"
#include "segment_mbuf.h"
#include "segment_node.h"

#include <errno.h>

// Small frames for one node share a slot when they are handed over together. Past so many slots it
// gains nothing to wait for more frames (src/vni makes parcels of 33), and the receiver would wait,
// too.
#define TX_SLOTS 32

static uint16_t
segment_rx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct segment_io *s = device->priv;
	struct segment_node *node = segment_io_node(s);
	struct segment *seg;
	uint16_t got = 0;

	(void)q;
	if (!node)
		return 0;
	seg = segment_node_segment(node);
	if (!s->n_frames) {
		s->n_frames = (uint16_t)segment_receive(seg, s->frame, n);
		s->first = 0;
	}
	n = RTE_MIN(n, s->n_frames);
	while (got < n && (pkts[got] = segment_mbuf_read(device->pool, seg, &s->frame[s->first + got])))
		got++;
	if (got)
		segment_release(seg, &s->frame[s->first], got);
	s->first = (uint16_t)(s->first + got);
	s->n_frames = (uint16_t)(s->n_frames - got);
	return got;
}

// Slots for the frame. -ENOBUFS: it can be taken when slots are free again, and no other frame
// before.
static int
reserve(struct segment *seg, const struct rte_mbuf *m, struct segment_frame *ret_frame, enum drop *ret_why)
{
	uint64_t to = segment_route(seg, rte_pktmbuf_mtod(m, const uint8_t *));
	int rc = to ? segment_reserve(seg, to, m->pkt_len, ret_frame) : -EHOSTUNREACH;

	// Slots that only one node's frames may have are like that node's inbox.
	*ret_why = !to ? DROP_NO_NODE : rc == -ENOBUFS ? DROP_TX_FULL : DROP_REFUSED;
	return rc == -ENOBUFS && segment_geometry_of(seg)->buffers == SEGMENT_SEPARATE ? -EHOSTUNREACH : rc;
}

static void
hand_over(struct segment_tx_burst *tx, struct segment *seg, struct rte_mbuf **pkts, struct port_refused *refused,
	uint64_t *wake)
{
	struct rte_mbuf *taken[PORT_BURST];
	uint16_t n_taken = 0;

	(void)segment_send(seg, tx->frame, tx->n, wake);
	for (unsigned i = 0; i < tx->n; i++)
		if (tx->frame[i].to)
			taken[n_taken++] = pkts[tx->at[i]];
		else
			port_refuse(refused, tx->at[i], DROP_TX_FULL);
	pkt_free_burst(taken, n_taken);
	tx->n = tx->n_slots = 0;
}

static uint16_t
segment_tx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	struct segment_io *s = device->priv;
	struct segment_node *node = segment_io_node(s);
	struct segment_tx_burst *tx = &s->tx;
	struct segment *seg;
	uint64_t wake = 0;
	uint16_t done;

	(void)q;
	if (!node)
		return 0;
	seg = segment_node_segment(node);
	for (done = 0; done < n; done++) {
		struct segment_frame *frame = &tx->frame[tx->n];
		enum drop why;
		int rc = reserve(seg, pkts[done], frame, &why);

		if (rc == -ENOBUFS)
			break;
		if (rc) {
			port_refuse(refused, done, why);
			continue;
		}
		segment_mbuf_write(pkts[done], seg, frame);
		tx->at[tx->n++] = done;
		tx->n_slots += frame->n_slots;
		if (tx->n_slots >= TX_SLOTS)
			hand_over(tx, seg, pkts, refused, &wake);
	}
	hand_over(tx, seg, pkts, refused, &wake);
	if (wake)
		segment_node_wake(node, wake);
	return done;
}

static int
segment_arm(struct device *device, uint16_t q, bool is_on)
{
	struct segment_node *node = segment_io_node(device->priv);

	(void)q;
	return node ? segment_node_rx_wakeup(node, is_on) : -2; // joining moves wakeup_gen
}

const struct port_io segment_io_ops = {
	.rx = segment_rx,
	.tx = segment_tx,
	.arm = segment_arm,
};
