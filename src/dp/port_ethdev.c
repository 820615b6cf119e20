// Any device that DPDK drives: PCI NICs, AF_XDP, TAP, memif, virtio-user, pcap. Made from devargs when the port
// is added, removed with it. Offloads are used where the driver has them; a driver without chained buffers gets
// single ones (egress.c). Received packets come without offload flags: what the device verified, the guest may verify again.
#include "dp_state.h"
#include "port.h"
#include "rtvs/log.h"

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include <errno.h>
#include <string.h>

#define RING_DESCS 512 // aims; the driver's limits apply. Short transmit rings: a long one would only delay
#define RING_RX_BUDGET 8 // at most 1/8 of all buffers lie in one device's receive rings

#define FRAME_EXTRA (RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN) // beyond the MTU

#define TX_CSUM (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

struct ethdev {
	uint16_t dev_id;
	uint16_t n_rxq, n_txq;
	uint64_t tx_offloads;
	bool is_started; // ctl
	bool takes_rx_intr; // the driver took the configuration with interrupts
	bool has_rx_intr; // ctl: wo before is_running, dp: ro
	bool is_virtual; // made of devargs alone, without a cable to lose
	struct rte_ether_addr mac;
	_Atomic uint32_t mtu; // as is_running
	_Atomic bool is_running; // ctl: wo, dp: ro
};

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

static int
attach(const struct dp_port_cfg *cfg, uint16_t *ret_id, char err[DP_ERR_SIZE])
{
	char name[RTE_ETH_NAME_MAX_LEN];
	int rc;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(cfg->devargs, ","), cfg->devargs);
	if (!name[0]) {
		dp_error(err, "devargs: must name a device, like net_tap0,iface=t0 or 0000:01:00.0");
		return -EINVAL;
	}
	if (!rte_eth_dev_get_port_by_name(name, ret_id)) {
		dp_error(err, "devargs: device %s is in use by another port", name);
		return -EBUSY;
	}
	rc = rte_dev_probe(cfg->devargs);
	if (rc) {
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
		rc = rte_eth_rx_queue_setup(e->dev_id, q, n_rxd, SOCKET_ID_ANY, NULL, port->dp->pool);
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
	int rc = rte_eth_dev_info_get(e->dev_id, &info);

	if (rc) {
		dp_error(err, "devargs: the driver does not describe its device: %s", strerror(-rc));
		return rc;
	}
	e->is_virtual = !strcmp(rte_bus_name(rte_dev_bus(info.device)), "vdev");
	e->n_rxq = (uint16_t)RTE_MIN(port->cfg.n_queues, RTE_MAX((uint32_t)info.max_rx_queues, 1u));
	e->n_txq = (uint16_t)RTE_MIN(port->cfg.n_queues, RTE_MAX((uint32_t)info.max_tx_queues, 1u));
	e->tx_offloads = info.tx_offload_capa & (TX_CSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	if ((e->tx_offloads & TX_CSUM) != TX_CSUM)
		e->tx_offloads &= ~(uint64_t)(TX_CSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO);
	// net_tap (24.11) refuses super-frames whose segments fill the MTU: it counts the Ethernet header as part of it.
	if (!strcmp(info.driver_name, "net_tap"))
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
	port->n_txq = e->n_txq;
	port->caps = (e->tx_offloads & TX_CSUM ? PORT_CAP_CSUM : 0) |
		(e->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO ? PORT_CAP_TSO4 | PORT_CAP_TSO6 : 0) |
		(e->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS ? PORT_CAP_SEGS : 0);
	return 0;
}

static int
ethdev_open(struct port *port, char err[DP_ERR_SIZE])
{
	struct ethdev *e = rte_zmalloc("ethdev", sizeof(*e), RTE_CACHE_LINE_SIZE);
	int rc;

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
	port->priv = e;
	return 0;
err_detach:
	detach(e->dev_id);
err_free:
	rte_free(e);
	return rc;
}

static void
update_link(struct port *port)
{
	struct ethdev *e = port->priv;
	struct rte_eth_link link = {0};
	bool is_up;

	// A TAP in another network namespace looks down from here, others never tell: virtual devices are up while started.
	if (e->is_virtual || rte_eth_link_get_nowait(e->dev_id, &link))
		link.link_status = RTE_ETH_LINK_UP;
	is_up = e->is_started && link.link_status == RTE_ETH_LINK_UP;
	if (atomic_exchange(&port->is_up, is_up) != is_up)
		port_link_changed(port, is_up);
}

static int
ethdev_start(struct port *port, char err[DP_ERR_SIZE])
{
	struct ethdev *e = port->priv;
	int rc = rte_eth_dev_start(e->dev_id);

	if (rc) {
		dp_error(err, "devargs: cannot start the device: %s", strerror(-rc));
		return rc;
	}
	(void)rte_eth_promiscuous_enable(e->dev_id);
	// Asked once: a driver that has no descriptor to wait on says so in the log each time.
	e->has_rx_intr = e->takes_rx_intr && rte_eth_dev_rx_intr_ctl_q_get_fd(e->dev_id, 0) >= 0;
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
	dp_synchronize(port->dp);
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
ethdev_set_mtu(struct port *port, uint32_t mtu, char err[DP_ERR_SIZE])
{
	struct ethdev *e = port->priv;
	int rc = rte_eth_dev_set_mtu(e->dev_id, (uint16_t)mtu);

	if (rc && rc != -ENOTSUP) {
		dp_error(err, "mtu: the device refused %u: %s", mtu, strerror(-rc));
		return rc;
	}
	atomic_store(&e->mtu, mtu);
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
}

static void
ethdev_housekeeping(struct port *port)
{
	update_link(port);
}

static uint16_t
ethdev_rx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct ethdev *e = port->priv;
	uint16_t got;

	if (q >= e->n_rxq || !atomic_load_explicit(&e->is_running, memory_order_relaxed))
		return 0;
	got = rte_eth_rx_burst(e->dev_id, q, pkts, n);
	for (uint16_t i = 0; i < got; i++)
		pkts[i]->ol_flags = 0;
	return got;
}

// Drivers stop at a frame that is longer than the device's MTU allows (net_tap), as they do when they are full. A mirror's target
// gets such frames: they are not measured before.
static bool
is_too_long(const struct ethdev *e, const struct rte_mbuf *m)
{
	return !(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) &&
		m->pkt_len > atomic_load_explicit(&e->mtu, memory_order_relaxed) + FRAME_EXTRA;
}

static uint16_t
ethdev_tx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n, enum drop *ret_refused)
{
	struct ethdev *e = port->priv;
	uint16_t good = n, sent;

	if (!atomic_load_explicit(&e->is_running, memory_order_relaxed))
		return 0;
	// Checksum fields as the device wants them. A packet that the driver refuses ends the burst.
	if (e->tx_offloads & TX_CSUM)
		good = rte_eth_tx_prepare(e->dev_id, q, pkts, n);
	sent = good ? rte_eth_tx_burst(e->dev_id, q, pkts, good) : 0;
	if (unlikely(sent < n && (sent == good || is_too_long(e, pkts[sent]))))
		*ret_refused = DROP_REFUSED;
	return sent;
}

static int
ethdev_rx_wakeup(struct port *port, uint16_t q, bool is_on)
{
	struct ethdev *e = port->priv;
	int fd;

	if (q >= e->n_rxq || !atomic_load_explicit(&e->is_running, memory_order_relaxed))
		return -2;
	if (!e->has_rx_intr)
		return -1;
	fd = rte_eth_dev_rx_intr_ctl_q_get_fd(e->dev_id, q);
	if (fd < 0)
		return -1;
	if (is_on)
		(void)rte_eth_dev_rx_intr_enable(e->dev_id, q);
	else
		(void)rte_eth_dev_rx_intr_disable(e->dev_id, q);
	return fd;
}

const struct port_ops port_ethdev_ops = {
	.open = ethdev_open,
	.close = ethdev_close,
	.start = ethdev_start,
	.stop = ethdev_stop,
	.set_mtu = ethdev_set_mtu,
	.state = ethdev_state,
	.housekeeping = ethdev_housekeeping,
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.rx_wakeup = ethdev_rx_wakeup,
};
