// A device of DPDK's as workers use it: its queues, and whether they run.
#pragma once

#include "netdev.h"
#include "rtvs/drop.h"

#include <rte_ethdev.h>

#include <net/if.h>
#include <stdatomic.h>

struct port_io;

#define ETHDEV_TX_CSUM (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

struct ethdev {
	uint16_t dev_id;
	uint16_t n_rxq, n_txq;
	uint64_t tx_offloads;
	bool is_started, runs_on; // ctl
	bool takes_rx_intr; // the driver took the configuration with interrupts
	bool has_rx_intr; // ctl: wo before is_running, dp: ro
	bool is_tap, is_packet_socket; // by its driver
	bool is_vdpa; // virtio-user's, whose link nobody reads: it is up
	unsigned ifindex; // of the kernel's interface beneath it, 0: none
	char ifname[IF_NAMESIZE];
	struct netdev_watch *netdevs; // of the datapath
	int tap_fd; // -1: nothing is known about the TAP
	enum netdev_state state; // of that interface; ctl
	struct rte_ether_addr mac;
	// Its link was read because the device took nothing, and has not changed since; dp, ctl:
	// rw.
	_Atomic bool is_doubted;
	_Atomic uint32_t mtu; // as is_running
	_Atomic bool is_running; // ctl: wo, dp: ro
};

extern const struct port_io ethdev_io_ops; // for a device whose priv is a struct ethdev
