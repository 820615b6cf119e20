// Any device that DPDK drives: PCI NICs, memif, virtio-user, pcap; and TAPs and AF_XDP with
// arguments that port_tap.c and port_xdp.c do not know. Made from devargs when the port is added,
// removed with it. Offloads are used where the driver has them; a driver without chained buffers
// gets single ones (egress.c). Its packets: ethdev_io.c. Control thread.
#include "dp_state.h"
#include "eal.h"
#include "io/ethdev_io.h"
#include "io/netdev.h"
#include "port.h"
#include "port_link.h"
#include "port_tap.h"
#include "port_type.h"
#include "port_xdp.h"
#include "rtvs/log.h"
#include "virtio_user.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include <errno.h>
#include <net/if.h>
#include <string.h>

// Aims; the driver's limits apply. Short transmit rings: a long one would only delay.
#define RING_DESCS 512
#define RING_RX_BUDGET 8 // at most 1/8 of all buffers lie in one device's receive rings
// Frames at least that an AF_PACKET's ring and a TAP's queue hold, unless configured.
#define KERNEL_QUEUE 1024

// Takes "net_tap0,iface=x" as well as "vdev:net_tap0,iface=x" and "0000:01:00.0".
static int
find_device(const char *devargs, uint16_t *ret_id)
{
	struct rte_dev_iterator it;
	uint16_t id;

	RTE_ETH_FOREACH_MATCHING_DEV(id, devargs, &it)
	{
		rte_eth_iterator_cleanup(&it);
		*ret_id = id;
		return 0;
	}
	return -ENODEV;
}

static const char *
driver_of(const char *devargs)
{
	return strncmp(devargs, "vdev:", 5) ? devargs : devargs + 5;
}

// The value of "KEY=VALUE" in devargs.
static bool
find_arg(const char *devargs, const char *key, char *ret_value, size_t size)
{
	size_t len = strlen(key);

	for (const char *arg = strchr(devargs, ','); arg; arg = strchr(arg, ',')) {
		arg++;
		if (strncmp(arg, key, len) || arg[len] != '=')
			continue;
		snprintf(ret_value, size, "%.*s", (int)strcspn(arg + len + 1, ","), arg + len + 1);
		return true;
	}
	return false;
}

// The file or socket that virtio-user is the guest of. One that it makes itself is none of ours.
static bool
find_virtio_path(const char *devargs, char *ret_path, size_t size)
{
	char server[2];

	return !strncmp(driver_of(devargs), "net_virtio_user", 15) &&
		!find_arg(devargs, "server", server, sizeof(server)) && find_arg(devargs, "path", ret_path, size);
}

// A TAP of another program would be shared with it, any other interface is refused without a
// reason. A driver that needs an interface says no more when there is none.
static int
check_interface(const char *devargs, char err[DP_ERR_SIZE])
{
	const char *driver = driver_of(devargs);
	bool makes = !strncmp(driver, "net_tap", 7), needs = !strncmp(driver, "net_af_", 7), exists;
	char iface[RTVS_DEVARGS_SIZE], persist[2];

	if ((!makes && !needs) || !find_arg(devargs, "iface", iface, sizeof(iface)))
		return 0;
	exists = if_nametoindex(iface);
	if (makes && exists && !find_arg(devargs, "persist", persist, sizeof(persist))) {
		dp_error(err,
			"devargs: iface: there is already an interface %.32s; name another, or delete it first: ip "
			"link del %.32s",
			iface, iface);
		return -EEXIST;
	}
	if (needs && !exists) {
		dp_error(err, "devargs: iface: there is no interface %.32s", iface);
		return -ENODEV;
	}
	return 0;
}

static int
attach(const struct dp_port_cfg *cfg, uint16_t *ret_id, char err[DP_ERR_SIZE])
{
	char name[RTE_ETH_NAME_MAX_LEN], path[RTVS_DEVARGS_SIZE];
	int rc, why;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(cfg->devargs, ","), cfg->devargs);
	if (!name[0]) {
		dp_error(err, "devargs: must name a device, like net_tap0,iface=t0 or 0000:01:00.0");
		return -EINVAL;
	}
	if (!rte_eth_dev_get_port_by_name(name, ret_id)) {
		dp_error(err, "devargs: device %s is in use by another port", name);
		return -EBUSY;
	}
	rc = check_interface(cfg->devargs, err);
	if (rc)
		return rc;
	eal_need_drivers();
	rc = rte_dev_probe(cfg->devargs);
	if (rc) {
		why = find_virtio_path(cfg->devargs, path, sizeof(path)) ? virtio_user_explain(path, err) : 0;
		if (why)
			return why;
		dp_error(err, "devargs: no driver made a device of '%.120s': %s", cfg->devargs, strerror(-rc));
		return rc < 0 ? rc : -EIO;
	}
	if (rte_eth_dev_get_port_by_name(name, ret_id) && find_device(cfg->devargs, ret_id)) {
		dp_error(err, "devargs: '%.160s' made no network device", cfg->devargs);
		return -ENODEV;
	}
	return 0;
}

static void
detach(uint16_t dev_id)
{
	struct rte_eth_dev_info info;
	struct rte_device *dev = rte_eth_dev_info_get(dev_id, &info) ? NULL : info.device;

	(void)rte_eth_dev_stop(dev_id);
	(void)rte_eth_dev_close(dev_id);
	if (dev)
		(void)rte_dev_remove(dev);
}

static int
setup_queues(struct port *port, struct ethdev *e, const struct rte_eth_dev_info *info)
{
	uint16_t n_rxd = RING_DESCS, n_txd = RING_DESCS;
	uint32_t budget = port->dp->cfg.n_mbufs / RING_RX_BUDGET / e->n_rxq;
	int rc;

	while (n_rxd > 64 && n_rxd > budget)
		n_rxd /= 2;
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(e->dev_id, &n_rxd, &n_txd);
	for (uint16_t q = 0; !rc && q < e->n_rxq; q++)
		rc = rte_eth_rx_queue_setup(e->dev_id, q, n_rxd, SOCKET_ID_ANY, NULL, port->path.device.pool);
	for (uint16_t q = 0; !rc && q < e->n_txq; q++) {
		struct rte_eth_txconf conf = info->default_txconf;

		conf.offloads = e->tx_offloads;
		rc = rte_eth_tx_queue_setup(e->dev_id, q, n_txd, SOCKET_ID_ANY, &conf);
	}
	return rc;
}

static int
configure(struct port *port, struct ethdev *e, char err[DP_ERR_SIZE])
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	char path[RTVS_DEVARGS_SIZE];
	int rc = rte_eth_dev_info_get(e->dev_id, &info);

	if (rc) {
		dp_error(err, "devargs: the driver does not describe its device: %s", strerror(-rc));
		return rc;
	}
	e->is_tap = !strcmp(info.driver_name, "net_tap");
	e->is_packet_socket = !strcmp(info.driver_name, "net_af_packet");
	e->is_vdpa = find_virtio_path(port->cfg.devargs, path, sizeof(path)) && virtio_user_is_vdpa(path);
	e->ifindex = info.if_index;
	if (!if_indextoname(info.if_index, e->ifname))
		e->ifindex = 0;
	e->n_rxq = (uint16_t)RTE_MIN(port->cfg.n_queues, RTE_MAX((uint32_t)info.max_rx_queues, 1u));
	e->n_txq = (uint16_t)RTE_MIN(port->cfg.n_queues, RTE_MAX((uint32_t)info.max_tx_queues, 1u));
	e->tx_offloads =
		info.tx_offload_capa & (ETHDEV_TX_CSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	if ((e->tx_offloads & ETHDEV_TX_CSUM) != ETHDEV_TX_CSUM)
		e->tx_offloads &= ~(uint64_t)(ETHDEV_TX_CSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO);
	// net_tap (24.11) refuses super-frames whose segments fill the MTU: it counts the Ethernet
	// header as part of it.
	if (e->is_tap)
		e->tx_offloads &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_TCP_TSO;
	conf.txmode.offloads = e->tx_offloads;
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	if (e->n_rxq > 1) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) & info.flow_type_rss_offloads;
	}
	conf.intr_conf.rxq = 1;
	rc = rte_eth_dev_configure(e->dev_id, e->n_rxq, e->n_txq, &conf);
	e->takes_rx_intr = !rc;
	if (rc) {
		conf.intr_conf.rxq = 0;
		rc = rte_eth_dev_configure(e->dev_id, e->n_rxq, e->n_txq, &conf);
	}
	if (!rc)
		rc = setup_queues(port, e, &info);
	if (rc) {
		dp_error(err, "devargs: cannot configure the device with %u queues: %s", e->n_rxq, strerror(-rc));
		return rc;
	}
	// Drivers of virtual devices often have no MTU to set, and take any frame.
	rc = rte_eth_dev_set_mtu(e->dev_id, (uint16_t)port->cfg.mtu);
	if (rc && rc != -ENOTSUP) {
		dp_error(err, "mtu: the device refused %u: %s", port->cfg.mtu, strerror(-rc));
		return rc;
	}
	e->mtu = port->cfg.mtu;
	port->path.device.n_txq = e->n_txq;
	port->path.device.caps = (e->tx_offloads & ETHDEV_TX_CSUM ? PORT_CAP_CSUM : 0) |
		(e->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO ? PORT_CAP_TSO4 | PORT_CAP_TSO6 : 0) |
		(e->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS ? PORT_CAP_SEGS : 0);
	return 0;
}

static int
ethdev_open(struct port *port, char err[DP_ERR_SIZE])
{
	struct ethdev *e;
	int rc;

	if (port_tap_is(&port->cfg))
		return port_tap_open(port, err);
	if (port_xdp_is(&port->cfg))
		return port_xdp_open(port, err);
	e = rte_zmalloc("ethdev", sizeof(*e), RTE_CACHE_LINE_SIZE);
	if (!e) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	rc = attach(&port->cfg, &e->dev_id, err);
	if (rc)
		goto err_free;
	rc = configure(port, e, err);
	if (rc)
		goto err_detach;
	(void)rte_eth_macaddr_get(e->dev_id, &e->mac);
	e->netdevs = port->dp->netdevs;
	port->priv = port->path.device.priv = e;
	return 0;
err_detach:
	detach(e->dev_id);
err_free:
	rte_free(e);
	return rc;
}

static bool
has_link(struct ethdev *e)
{
	struct rte_eth_link link;

	if (e->is_tap)
		e->state = e->tap_fd < 0 ? NETDEV_UP : netdev_tap_state(e->tap_fd);
	else if (e->ifindex)
		e->state = netdev_state(e->ifindex);
	if (e->state != NETDEV_UP)
		return false;
	// To net_tap a TAP in another network namespace looks down.
	return e->is_tap || e->is_vdpa || rte_eth_link_get_nowait(e->dev_id, &link) ||
		link.link_status == RTE_ETH_LINK_UP;
}

static void
update_link(struct port *port)
{
	struct ethdev *e = port->priv;

	if (port_link_set(port, e->is_started && has_link(e)))
		atomic_store(&e->is_doubted, false);
}

// Drops packets that came while the port was down.
static void
discard_received(struct ethdev *e)
{
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t n;

	for (uint16_t q = 0; q < e->n_rxq; q++)
		for (unsigned i = 0; i < KERNEL_QUEUE / PORT_BURST; i++) {
			n = rte_eth_rx_burst(e->dev_id, q, pkts, PORT_BURST);
			pkt_free_burst(pkts, n);
		}
}

static int
ethdev_start(struct port *port, char err[DP_ERR_SIZE])
{
	struct ethdev *e = port->priv;
	int rc = rte_eth_dev_start(e->dev_id), fd;

	if (rc) {
		dp_error(err, "devargs: cannot start the device: %s", strerror(-rc));
		return rc;
	}
	(void)rte_eth_promiscuous_enable(e->dev_id);
	if (e->runs_on)
		discard_received(e);
	// Asked once: a driver that has no descriptor to wait on says so in the log each time.
	fd = e->takes_rx_intr ? rte_eth_dev_rx_intr_ctl_q_get_fd(e->dev_id, 0) : -1;
	e->has_rx_intr = fd >= 0;
	if (e->is_tap && fd >= 0)
		netdev_watch_tap(port->dp->netdevs, fd);
	e->tap_fd = fd;
	e->is_started = true;
	atomic_store(&e->is_running, true);
	update_link(port);
	return 0;
}

static void
ethdev_stop(struct port *port)
{
	struct ethdev *e = port->priv;

	if (!e->is_started)
		return;
	atomic_store(&e->is_running, false);
	e->is_started = false;
	update_link(port);
	rcu_wait(&port->dp->env.rcu);
	// Drivers (24.11) that could not start again continue to run, unused: net_af_packet closes
	// its sockets when it is stopped, net_tap wants to set the interface up in this network
	// namespace.
	e->runs_on = e->is_packet_socket || (e->is_tap && netdev_state(e->ifindex) == NETDEV_GONE);
	if (!e->runs_on)
		(void)rte_eth_dev_stop(e->dev_id);
}

static void
ethdev_close(struct port *port)
{
	struct ethdev *e = port->priv;

	detach(e->dev_id);
	rte_free(e);
}

static int
ethdev_configure(struct port *port, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct ethdev *e = port->priv;
	int rc;

	if (cfg->mtu == port->cfg.mtu)
		return 0;
	rc = rte_eth_dev_set_mtu(e->dev_id, (uint16_t)cfg->mtu);
	if (rc && rc != -ENOTSUP) {
		dp_error(err, "mtu: the device refused %u: %s", cfg->mtu, strerror(-rc));
		return rc;
	}
	atomic_store(&e->mtu, cfg->mtu);
	return 0;
}

static void
ethdev_state(const struct port *port, struct dp_port_state *ret_state)
{
	const struct ethdev *e = port->priv;
	struct rte_eth_link link = {0};

	ret_state->is_connected = true;
	ret_state->n_queues = e->n_rxq;
	memcpy(ret_state->mac.b, e->mac.addr_bytes, sizeof(ret_state->mac.b));
	if (!rte_eth_link_get_nowait(e->dev_id, &link) && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
		ret_state->speed_bps = (uint64_t)link.link_speed * 1000000;
	if (!port->cfg.admin_up)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "administratively down");
	else if (!ret_state->is_link_up)
		netdev_explain(e->state, e->ifname, ret_state->detail, sizeof(ret_state->detail));
}

// Of packets that it took. net_af_packet takes packets that the kernel then refuses, for example
// because the interface is down.
static uint64_t
ethdev_tx_lost(const struct port *port)
{
	const struct ethdev *e = port->priv;
	struct rte_eth_stats stats;

	return e->is_packet_socket && !rte_eth_stats_get(e->dev_id, &stats) ? stats.oerrors : 0;
}

static void
ethdev_housekeeping(struct port *port)
{
	update_link(port);
}

const struct port_type port_ethdev_type = {
	.open = ethdev_open,
	.close = ethdev_close,
	.start = ethdev_start,
	.stop = ethdev_stop,
	.configure = ethdev_configure,
	.state = ethdev_state,
	.tx_lost = ethdev_tx_lost,
	.housekeeping = ethdev_housekeeping,
	.io = &ethdev_io_ops,
};
