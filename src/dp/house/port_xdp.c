// Ports by AF_XDP: io/xdp_device.c has the system calls, io/xdp_io.c the packets. A process that
// takes over makes no sockets: it is sent the former one's, with their memory, which that one does
// not use any more when this one begins to. Packets that come meanwhile wait in the rings.
// Invariant: such a process writes to no ring before dp_take_over, so the former one goes on with
// them after any failure before.
#include "port_xdp.h"

#include "dp_state.h"
#include "io/netdev.h"
#include "io/xdp_io.h"
#include "io/xdp_library.h"
#include "kernel_port.h"
#include "port_link.h"
#include "port_type.h"

#include <rte_malloc.h>

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>

#define KIND_SOCKET "xdp" // of its descriptors
#define KIND_MEMORY "xdm"
// A frame for reception begins with room for the program's headers.
#define MAX_MTU (XDP_FRAME_SIZE - 256 - 22)

struct xdp {
	struct xdp_io io; // what workers have
	struct xdp_args args;
	unsigned n_queues;
	bool is_started;
	enum netdev_state state;
	char ifname[IF_NAMESIZE]; // by the last look
	struct mac mac;
	uint64_t lost_before; // packets, which a former process has counted
	uint64_t hand; // the hand-over in which it was sent
};

static_assert(XDP_MAX_QUEUES >= DP_MAX_QUEUES, "each queue of a port has a socket");
static const struct port_type type;

bool
port_xdp_is(const struct dp_port_cfg *cfg)
{
	struct xdp_args ignored;

	return port_has(cfg->type, PORT_IS_DEVICE) && xdp_args_parse(cfg->devargs, &ignored) && xdp_device_is_known();
}

static int
set_mtu(struct xdp *x, uint32_t mtu, char err[DP_ERR_SIZE])
{
	int rc = mtu > MAX_MTU ? -EINVAL : netdev_set_mtu(x->ifname, mtu);

	if (rc)
		dp_error(err, "mtu: the device refused %u: %s", mtu,
			mtu > MAX_MTU ? "AF_XDP has 3818 at most" : strerror(-rc));
	return rc;
}

static bool
read_link(struct xdp *x)
{
	x->state = xdp_device_state(&x->io.device, x->ifname);
	return x->is_started && x->state == NETDEV_UP;
}

static int
make_device(struct xdp *x, uint32_t mtu, char err[DP_ERR_SIZE])
{
	int rc = xdp_device_open(&x->args, x->n_queues, &x->io.device, err);

	if (rc)
		return rc;
	(void)read_link(x);
	(void)netdev_mac(x->ifname, &x->mac);
	return set_mtu(x, mtu, err);
}

// Does another port have queues of the same interface?
static bool
is_shared(const struct port *port, unsigned ifindex)
{
	bool is_it = false;

	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		const struct port *other = port->dp->port[i];

		if (other && other != port && other->type == &type)
			is_it |= xdp_device_ifindex(&((const struct xdp *)other->priv)->io.device) == ifindex;
	}
	return is_it;
}

static void
destroy(struct port *port, struct xdp *x)
{
	unsigned ifindex = xdp_device_ifindex(&x->io.device);

	xdp_device_close(&x->io.device);
	if (ifindex && !port->dp->cfg.is_standby && !is_shared(port, ifindex))
		xdp_library_take_off(ifindex);
	rte_free(x);
}

int
port_xdp_open(struct port *port, char err[DP_ERR_SIZE])
{
	struct xdp *x = rte_zmalloc("xdp", sizeof(*x), RTE_CACHE_LINE_SIZE);
	int rc;

	if (!x) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	(void)xdp_args_parse(port->cfg.devargs, &x->args);
	x->n_queues = RTE_MIN(port->cfg.n_queues, x->args.n_queues);
	x->io.netdevs = port->dp->netdevs;
	x->io.mtu = port->cfg.mtu;
	rc = kernel_port_check(port->dp, &type, x->args.device, err);
	if (!rc && !port->dp->cfg.is_standby)
		rc = make_device(x, port->cfg.mtu, err);
	if (rc) {
		destroy(port, x);
		return rc;
	}
	port->type = &type;
	port->priv = x;
	port->path.device.priv = &x->io;
	port->path.device.io = type.io;
	port->path.device.n_txq = x->n_queues;
	port->path.device.caps = PORT_CAP_SEGS;
	return 0;
}

static void
xdp_close(struct port *port)
{
	destroy(port, port->priv);
}

static void
update_link(struct port *port)
{
	struct xdp *x = port->priv;

	(void)port_link_set(port, read_link(x));
	for (unsigned q = 0; x->is_started && q < x->io.device.n; q++)
		xdp_io_kick(&x->io, q);
}

static int
xdp_start(struct port *port, char err[DP_ERR_SIZE])
{
	struct xdp *x = port->priv;
	int rc = xdp_device_resume(&x->io.device);

	if (rc) {
		dp_error(err, "devargs: the former process left frames of AF_XDP that cannot be");
		return rc;
	}
	(void)read_link(x);
	// As a NIC's in a switch; an interface that is gone has no flags.
	(void)netdev_set_flags(x->ifname, IFF_PROMISC, true);
	if (atomic_load(&port->dp->is_taking_over))
		x->lost_before = xdp_device_lost(&x->io.device);
	else
		xdp_io_discard(&x->io);
	x->is_started = true;
	for (unsigned q = 0; q < x->io.device.n; q++)
		atomic_store(&x->io.is_waiting[q], true);
	atomic_store(&x->io.is_running, x->io.device.n && x->state != NETDEV_GONE);
	update_link(port);
	return 0;
}

static void
xdp_stop(struct port *port)
{
	struct xdp *x = port->priv;

	if (!x->is_started)
		return;
	atomic_store(&x->io.is_running, false);
	x->is_started = false;
	update_link(port);
	rcu_wait(&port->dp->env.rcu);
}

static int
xdp_configure(struct port *port, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct xdp *x = port->priv;
	int rc = cfg->mtu == port->cfg.mtu ? 0 : set_mtu(x, cfg->mtu, err);

	if (!rc)
		atomic_store(&x->io.mtu, cfg->mtu);
	return rc;
}

static void
xdp_state(const struct port *port, struct dp_port_state *ret_state)
{
	const struct xdp *x = port->priv;

	ret_state->is_connected = true;
	ret_state->n_queues = x->n_queues;
	ret_state->mac = x->mac;
	if (!port->cfg.admin_up)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "administratively down");
	else if (!ret_state->is_link_up)
		netdev_explain(x->state, x->ifname, ret_state->detail, sizeof(ret_state->detail));
}

static uint64_t
xdp_tx_lost(const struct port *port)
{
	const struct xdp *x = port->priv;
	uint64_t n = xdp_device_lost(&x->io.device);

	return n - RTE_MIN(n, x->lost_before);
}

static int
xdp_hand(struct port *port, const struct dp_fd_store *to, bool is_last, char err[DP_ERR_SIZE])
{
	struct xdp *x = port->priv;

	(void)is_last;
	(void)err; // -EIO has one for all ports
	if (!(to->takes & DP_HANDS_XDP) || x->hand == port->dp->n_hands)
		return 0;
	for (unsigned i = 0; i < x->io.device.n; i++) {
		const struct xdp_queue *q = &x->io.device.queue[i];

		if (!kernel_port_send(to, KIND_SOCKET, x->args.device, i, q->fd) ||
			!kernel_port_send(to, KIND_MEMORY, x->args.device, i, q->memory_fd))
			return -EIO;
	}
	x->hand = port->dp->n_hands;
	return 0;
}

static int
xdp_warm(struct port *port, char err[DP_ERR_SIZE])
{
	struct xdp *x = port->priv;
	int rc = 0;

	while (!rc && x->io.device.n < x->n_queues) {
		unsigned q = x->io.device.n;
		int fd = kernel_port_take(port->dp, KIND_SOCKET, x->args.device, q);
		int memory_fd = kernel_port_take(port->dp, KIND_MEMORY, x->args.device, q);

		rc = xdp_device_add(&x->io.device, fd, memory_fd);
	}
	if (rc) {
		dp_error(err, "port %s: the former process did not send the sockets of %s as they are known here",
			port->cfg.name, x->args.device);
		return rc;
	}
	(void)read_link(x);
	(void)netdev_mac(x->ifname, &x->mac);
	return 0;
}

static const struct port_type type = {
	.open = port_xdp_open,
	.close = xdp_close,
	.start = xdp_start,
	.stop = xdp_stop,
	.configure = xdp_configure,
	.state = xdp_state,
	.tx_lost = xdp_tx_lost,
	.housekeeping = update_link,
	.hand = xdp_hand,
	.warm = xdp_warm,
	.io = &xdp_io_ops,
};
