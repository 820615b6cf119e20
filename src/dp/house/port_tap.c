// TAPs: io/tap_device.c has the system calls, io/tap_io.c the packets. A process that takes over
// makes none: it is sent the descriptors of the former one, which is halted when it begins to use
// them. Packets that wait in the kernel meanwhile are read then, and the interface does not change:
// it keeps its link, addresses, routes, sockets and namespace.
// Invariant: such a process does nothing to a TAP before dp_take_over, so the former one goes on
// with it after any failure before.
#include "port_tap.h"

#include "dp_state.h"
#include "io/netdev.h"
#include "io/tap_io.h"
#include "kernel_port.h"
#include "port_link.h"
#include "port_type.h"

#include <rte_malloc.h>

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define KIND "tap" // of its descriptors
#define MAX_WAITING 1024 // frames that came while the port was down, of a queue

struct tap {
	struct tap_io io; // what workers have
	struct tap_args args;
	unsigned n_queues;
	bool is_started;
	enum netdev_state state;
	struct mac mac;
	uint64_t hand; // the hand-over in which it was sent
};

static_assert(TAP_MAX_QUEUES >= DP_MAX_QUEUES, "each queue of a port has a descriptor");
static const struct port_type type;

bool
port_tap_is(const struct dp_port_cfg *cfg)
{
	struct tap_args ignored;

	return port_has(cfg->type, PORT_IS_DEVICE) && tap_args_parse(cfg->devargs, &ignored);
}

static int
make_device(struct tap *t, uint32_t mtu, char err[DP_ERR_SIZE])
{
	int rc;

	// A TAP of another program would be shared with it.
	if (t->args.iface[0] && !t->args.is_persistent && if_nametoindex(t->args.iface)) {
		dp_error(err,
			"devargs: iface: there is already an interface %s; name another, or delete it first: ip link "
			"del %s",
			t->args.iface, t->args.iface);
		return -EEXIST;
	}
	rc = tap_device_open(&t->args, t->n_queues, &t->io.device, err);
	if (rc)
		return rc;
	rc = tap_device_set_mtu(&t->io.device, mtu);
	if (rc) {
		dp_error(err, "mtu: the device refused %u: %s", mtu, strerror(-rc));
		return rc;
	}
	(void)tap_device_mac(&t->io.device, &t->mac);
	return 0;
}

static void
destroy(struct tap *t)
{
	tap_io_fini(&t->io);
	rte_free(t);
}

int
port_tap_open(struct port *port, char err[DP_ERR_SIZE])
{
	struct tap *t = rte_zmalloc("tap", sizeof(*t), RTE_CACHE_LINE_SIZE);
	int rc = t ? 0 : -ENOMEM;

	if (!rc) {
		t->n_queues = port->cfg.n_queues;
		rc = tap_io_init(&t->io, t->n_queues);
	}
	if (rc) {
		rte_free(t);
		dp_error(err, "no memory for a port");
		return rc;
	}
	(void)tap_args_parse(port->cfg.devargs, &t->args);
	t->io.netdevs = port->dp->netdevs;
	t->io.mtu = port->cfg.mtu;
	rc = kernel_port_check(port->dp, &type, t->args.device, err);
	if (!rc && !port->dp->cfg.is_standby)
		rc = make_device(t, port->cfg.mtu, err);
	if (rc) {
		destroy(t);
		return rc;
	}
	port->type = &type;
	port->priv = t;
	port->path.device.priv = &t->io;
	port->path.device.io = type.io;
	port->path.device.n_txq = t->n_queues;
	port->path.device.caps = PORT_CAP_SEGS;
	return 0;
}

static void
tap_close(struct port *port)
{
	destroy(port->priv);
}

static bool
read_link(struct tap *t)
{
	t->state = t->io.device.n ? netdev_tap_state(t->io.device.fd[0]) : NETDEV_GONE;
	return t->is_started && t->state == NETDEV_UP;
}

static void
update_link(struct port *port)
{
	struct tap *t = port->priv;

	if (port_link_set(port, read_link(t)))
		atomic_store(&t->io.is_doubted, false);
}

static int
tap_start(struct port *port, char err[DP_ERR_SIZE])
{
	struct tap *t = port->priv;
	int rc = 0;

	if (!atomic_load(&port->dp->is_taking_over)) {
		rc = tap_device_set_up(&t->io.device, true);
		if (rc) {
			dp_error(err, "devargs: cannot set the interface up: %s", strerror(-rc));
			return rc;
		}
		tap_io_discard(&t->io, MAX_WAITING);
	}
	netdev_watch_tap(port->dp->netdevs, t->io.device.fd[0]);
	t->is_started = true;
	atomic_store(&t->io.is_running, true);
	update_link(port);
	return 0;
}

static void
tap_stop(struct port *port)
{
	struct tap *t = port->priv;

	if (!t->is_started)
		return;
	atomic_store(&t->io.is_running, false);
	t->is_started = false;
	update_link(port);
	rcu_wait(&port->dp->env.rcu);
	(void)tap_device_set_up(&t->io.device, false);
}

static int
tap_configure(struct port *port, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct tap *t = port->priv;
	int rc = cfg->mtu == port->cfg.mtu ? 0 : tap_device_set_mtu(&t->io.device, cfg->mtu);

	if (rc) {
		dp_error(err, "mtu: the device refused %u: %s", cfg->mtu, strerror(-rc));
		return rc;
	}
	atomic_store(&t->io.mtu, cfg->mtu);
	return 0;
}

static void
tap_state(const struct port *port, struct dp_port_state *ret_state)
{
	const struct tap *t = port->priv;
	char name[IF_NAMESIZE];

	ret_state->is_connected = true;
	ret_state->n_queues = t->n_queues;
	ret_state->mac = t->mac;
	tap_device_name(&t->io.device, name);
	if (!port->cfg.admin_up)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "administratively down");
	else if (!ret_state->is_link_up)
		netdev_explain(t->state, name[0] ? name : t->args.iface, ret_state->detail, sizeof(ret_state->detail));
}

static int
tap_hand(struct port *port, const struct dp_fd_store *to, bool is_last, char err[DP_ERR_SIZE])
{
	struct tap *t = port->priv;

	(void)is_last;
	(void)err; // -EIO has one for all ports
	if (!(to->takes & DP_HANDS_TAPS) || t->hand == port->dp->n_hands)
		return 0;
	for (unsigned q = 0; q < t->io.device.n; q++)
		if (!kernel_port_send(to, KIND, t->args.device, q, t->io.device.fd[q]))
			return -EIO;
	t->hand = port->dp->n_hands;
	return 0;
}

static int
tap_warm(struct port *port, char err[DP_ERR_SIZE])
{
	struct tap *t = port->priv;
	int rc = 0, fd;

	while (!rc && t->io.device.n < t->n_queues) {
		fd = kernel_port_take(port->dp, KIND, t->args.device, t->io.device.n);
		if (fd < 0)
			rc = -EPROTO;
		else
			t->io.device.fd[t->io.device.n++] = fd;
	}
	if (!rc)
		rc = tap_device_check(&t->io.device);
	if (rc)
		dp_error(err, "port %s: the former process did not send the TAP %s as it is known here", port->cfg.name,
			t->args.device);
	else
		(void)tap_device_mac(&t->io.device, &t->mac);
	return rc;
}

static const struct port_type type = {
	.open = port_tap_open,
	.close = tap_close,
	.start = tap_start,
	.stop = tap_stop,
	.configure = tap_configure,
	.state = tap_state,
	.housekeeping = update_link,
	.hand = tap_hand,
	.warm = tap_warm,
	.io = &tap_io_ops,
};
