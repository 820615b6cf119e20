// A node of a segment in shared memory (rtvs/segment.h) as a port. Frames for addresses that no
// node has come to the switch, and frames from the bridge go to the nodes themselves
// (segment_io.c). The port outlives the segment: it waits for its file, and joins again when that
// was made anew, truncated, or others took it for dead (connector.c). Control thread.
#include "connector.h"
#include "dp_state.h"
#include "io/segment_io.h"
#include "io/segment_node.h"
#include "port.h"
#include "port_link.h"
#include "port_type.h"

#include <rte_malloc.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct segment_port {
	struct segment_io io; // what workers have
	uint64_t n_joins, n_leaves; // ctl
	bool is_file_gone; // nodes that have it go on; ctl
	char why[SEGMENT_ERR_SIZE]; // it has not joined; ctl
};

static void
leave(struct port *port)
{
	struct segment_port *s = port->priv;
	struct segment_node *node = atomic_exchange(&s->io.node, NULL);

	if (!node)
		return;
	atomic_store(&port->path.device.is_up, false);
	rcu_wait(&port->dp->env.rcu);
	segment_node_leave(node);
	s->io.first = s->io.n_frames = 0;
	s->n_leaves++;
	s->is_file_gone = false;
	port_link_changed(port, false);
}

static void
lost(void *arg)
{
	const struct port *port = arg;

	connector_lost(port->dp->connector, port);
}

// One attempt of the connector.
static int
try_join(struct port *port)
{
	struct segment_node_user user = {.path = port->cfg.path,
		.name = port->cfg.name,
		.mtu = port->cfg.mtu,
		.clock = &port->dp->env.clock,
		.waker = port->dp->env.waker[port->path.owner],
		.wakeup_gen = &port->dp->env.wakeup_gen,
		.lost_cb = lost,
		.arg = port};
	struct segment_port *s = port->priv;
	struct segment_node *node;
	int rc;

	leave(port);
	rc = segment_node_join(&user, &node, s->why);
	if (rc)
		return rc;
	s->why[0] = '\0';
	s->n_joins++;
	atomic_store(&s->io.node, node);
	atomic_store(&port->path.device.is_up, true);
	port_link_changed(port, true);
	return 0;
}

static int
segment_open(struct port *port, char err[DP_ERR_SIZE])
{
	struct segment_port *s = rte_zmalloc("segment", sizeof(*s), RTE_CACHE_LINE_SIZE);

	if (!s) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	port->priv = s;
	port->path.device.priv = &s->io;
	port->path.device.caps = PORT_CAP_ALL;
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
	const struct segment_node *node = segment_io_node(&s->io);

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
	const struct segment_node *node = segment_io_node(&s->io);

	if (!node)
		return;
	s->is_file_gone = access(port->cfg.path, F_OK) && errno == ENOENT;
	if (segment_node_is_replaced(node))
		connector_lost(port->dp->connector, port);
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

const struct port_type port_segment_type = {
	.open = segment_open,
	.close = segment_close,
	.start = segment_start,
	.stop = segment_stop,
	.state = segment_state,
	.housekeeping = segment_housekeeping,
	.io = &segment_io_ops,
};
