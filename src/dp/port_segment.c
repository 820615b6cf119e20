// A node of a segment in shared memory (rtvs/segment.h) as a port: frames for addresses that no node has come to the switch, and what
// the bridge sends here goes to the nodes themselves. The port outlives the segment: it waits for its file, and joins again when that was
// made anew, truncated, or others took it for dead (connector.c).
// A frame is copied out of its slots, and looked at here only; its slots are free again at once. Frames that find no packet buffer wait.
// What a node does not take that has no room is dropped: who stands still costs others nothing.
// Threads: open, close, start, stop, state, housekeeping: control; rx, tx, rx_wakeup: the port's owner, as there is one queue.
#include "connector.h"
#include "dp_state.h"
#include "port.h"
#include "port_link.h"
#include "segment_mbuf.h"
#include "segment_node.h"

#include <rte_malloc.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

// Small frames for one node share a slot when they are handed over together. Past so many slots it gains nothing to wait for more frames
// (src/vni makes parcels of 33), and the receiver would wait, too.
#define TX_SLOTS 32

// Frames that are written and not handed over yet, with their places in the burst. dp: rw; empty between two calls.
struct tx_burst {
	struct segment_frame frame[PORT_BURST];
	uint16_t at[PORT_BURST];
	uint16_t n, n_slots;
};

struct segment_port {
	_Atomic(struct segment_node *) node; // that the worker uses, NULL: none; ctl: wo, dp: ro
	// Received, and not yet copied; from first on. dp: rw; ctl while there is no node.
	struct segment_frame frame[PORT_BURST];
	uint16_t first, n_frames;
	struct tx_burst tx;
	uint64_t n_joins, n_leaves; // ctl
	bool is_file_gone; // nodes that have it go on; ctl
	char why[SEGMENT_ERR_SIZE]; // it has not joined; ctl
};

static struct segment_node *
node_of(const struct segment_port *s)
{
	return atomic_load_explicit(&s->node, memory_order_acquire);
}

static void
leave(struct port *port)
{
	struct segment_port *s = port->priv;
	struct segment_node *node = atomic_exchange(&s->node, NULL);

	if (!node)
		return;
	atomic_store(&port->is_up, false);
	rcu_wait(&port->dp->env.rcu);
	segment_node_leave(node);
	s->first = s->n_frames = 0;
	s->n_leaves++;
	s->is_file_gone = false;
	port_link_changed(port, false);
}

// One attempt of the connector.
static int
try_join(struct port *port)
{
	struct segment_port *s = port->priv;
	struct segment_node *node;
	int rc;

	leave(port);
	rc = segment_node_join(port, &node, s->why);
	if (rc)
		return rc;
	s->why[0] = '\0';
	s->n_joins++;
	atomic_store(&s->node, node);
	atomic_store(&port->is_up, true);
	port_link_changed(port, true);
	return 0;
}

static int
segment_open(struct port *port, char err[DP_ERR_SIZE])
{
	port->priv = rte_zmalloc("segment", sizeof(struct segment_port), RTE_CACHE_LINE_SIZE);
	if (!port->priv) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	port->caps = PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6 | PORT_CAP_SEGS;
	return 0;
}

static void
segment_close(struct port *port)
{
	rte_free(port->priv);
}

static int
segment_start(struct port *port, char err[DP_ERR_SIZE])
{
	(void)err;
	return connector_add(port->dp->connector, port, port->cfg.path, try_join);
}

static void
segment_stop(struct port *port)
{
	connector_del(port->dp->connector, port);
	leave(port);
}

static void
look_at(const struct segment *seg, struct dp_segment_state *ret_state)
{
	const struct segment_geometry *g = segment_geometry_of(seg);
	struct segment_node_info info;
	struct segment_pool_info pool;
	int self = segment_self(seg);

	if (self < 0)
		return;
	segment_look_pool(seg, &pool);
	*ret_state = (struct dp_segment_state){.node = self,
		.n_slots = g->n_slots,
		.n_slots_free = pool.n_free,
		.n_slots_held = pool.n_held[self],
		.inbox_size = g->inbox_size};
	for (unsigned i = 0; i < g->n_nodes; i++) {
		if (!segment_look(seg, i, &info))
			continue;
		ret_state->n_nodes += info.state == SEGMENT_LIVE;
		if (i == (unsigned)self) {
			ret_state->inbox_depth = info.inbox_depth;
			ret_state->counters = info.counters;
		}
	}
}

static void
segment_state(const struct port *port, struct dp_port_state *ret_state)
{
	const struct segment_port *s = port->priv;
	const struct segment_node *node = node_of(s);

	ret_state->n_queues = 1;
	ret_state->n_connects = s->n_joins;
	ret_state->n_disconnects = s->n_leaves;
	ret_state->is_connected = node != NULL;
	ret_state->segment.node = -1;
	if (node)
		look_at(segment_node_segment(node), &ret_state->segment);
	if (!port->cfg.admin_up)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "administratively down");
	else if (!node)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "waiting for the segment: %.160s", s->why);
	else if (s->is_file_gone)
		snprintf(ret_state->detail, sizeof(ret_state->detail),
			"the segment's file was removed: only nodes that have it already are reached");
}

static void
segment_housekeeping(struct port *port)
{
	struct segment_port *s = port->priv;
	const struct segment_node *node = node_of(s);

	if (!node)
		return;
	s->is_file_gone = access(port->cfg.path, F_OK) && errno == ENOENT;
	if (segment_node_is_replaced(node))
		connector_lost(port->dp->connector, port);
}

static uint16_t
segment_rx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct segment_port *s = port->priv;
	struct segment_node *node = node_of(s);
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
	while (got < n && (pkts[got] = segment_mbuf_read(port->dp->env.pool, seg, &s->frame[s->first + got])))
		got++;
	if (got)
		segment_release(seg, &s->frame[s->first], got);
	s->first = (uint16_t)(s->first + got);
	s->n_frames = (uint16_t)(s->n_frames - got);
	return got;
}

// Slots for the frame. -ENOBUFS: it can be taken when slots are free again, and no other frame before.
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
hand_over(
	struct tx_burst *tx, struct segment *seg, struct rte_mbuf **pkts, struct port_refused *refused, uint64_t *wake)
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
segment_tx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	struct segment_port *s = port->priv;
	struct segment_node *node = node_of(s);
	struct tx_burst *tx = &s->tx;
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
segment_rx_wakeup(struct port *port, uint16_t q, bool is_on)
{
	struct segment_node *node = node_of(port->priv);

	(void)q;
	return node ? segment_node_rx_wakeup(node, is_on) : -2; // joining moves wakeup_gen
}

int
dp_port_check_segment(const char *path, char err[DP_ERR_SIZE])
{
	struct segment_file *file = NULL;
	char why[SEGMENT_ERR_SIZE];
	int rc = segment_file_open(path, true, &file, why);

	segment_file_close(file);
	if (!rc || rc == -ENOENT)
		return 0;
	dp_error(err, "path: %s", why);
	return rc;
}

const struct port_ops port_segment_ops = {
	.open = segment_open,
	.close = segment_close,
	.start = segment_start,
	.stop = segment_stop,
	.state = segment_state,
	.housekeeping = segment_housekeeping,
	.rx = segment_rx,
	.tx = segment_tx,
	.rx_wakeup = segment_rx_wakeup,
};
