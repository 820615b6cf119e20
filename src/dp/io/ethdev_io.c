// Packets into and out of a device of DPDK's. A device that is not running returns none and takes
// none. Received packets come without offload flags: the guest may verify again what the device
// verified. port_ethdev.c makes, starts and stops the device on the control thread; all here runs
// on workers.
#include "ethdev_io.h"

#include "device.h"
#include "frame.h"

static uint16_t
ethdev_rx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct ethdev *e = device->priv;
	uint16_t got;

	if (q >= e->n_rxq || !atomic_load_explicit(&e->is_running, memory_order_relaxed))
		return 0;
	got = rte_eth_rx_burst(e->dev_id, q, pkts, n);
	for (uint16_t i = 0; i < got; i++)
		pkts[i]->ol_flags = 0;
	return got;
}

// Drivers stop at a frame that is longer than the device's MTU allows (net_tap), as they do when
// they are full. A mirror's target gets such frames: they are not measured before.
static bool
is_too_long(const struct ethdev *e, const struct rte_mbuf *m)
{
	return !(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) &&
		m->pkt_len > atomic_load_explicit(&e->mtu, memory_order_relaxed) + FRAME_EXTRA;
}

static uint16_t
ethdev_tx(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	struct ethdev *e = device->priv;
	uint16_t good = n, sent;

	if (!atomic_load_explicit(&e->is_running, memory_order_relaxed))
		return 0;
	// Checksum fields as the device wants them. A packet that the driver refuses ends the
	// burst.
	if (e->tx_offloads & ETHDEV_TX_CSUM)
		good = rte_eth_tx_prepare(e->dev_id, q, pkts, n);
	sent = good ? rte_eth_tx_burst(e->dev_id, q, pkts, good) : 0;
	if (likely(sent == n))
		return sent;
	if (sent == good || is_too_long(e, pkts[sent])) {
		port_refuse(refused, sent++, DROP_REFUSED);
	} else if (e->is_tap && !atomic_load_explicit(&e->is_doubted, memory_order_relaxed)) {
		atomic_store_explicit(&e->is_doubted, true, memory_order_relaxed);
		netdev_watch_wake(e->netdevs);
	}
	return sent;
}

static int
ethdev_arm(struct device *device, uint16_t q, bool is_on)
{
	struct ethdev *e = device->priv;
	int fd;

	if (q >= e->n_rxq || !atomic_load_explicit(&e->is_running, memory_order_acquire))
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

const struct port_io ethdev_io_ops = {
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.arm = ethdev_arm,
};
