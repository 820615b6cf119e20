// The devargs of an AF_XDP device ("net_af_xdp0,iface=eth1"), whose form is that of DPDK's driver
// net_af_xdp.
#pragma once

#include "devargs.h"

#include <stdint.h>

#define XDP_MAX_QUEUES 8
#define XDP_MAX_START 4095 // of the interface's queues, the first one

struct xdp_args {
	char device[DEVARGS_DEVICE_SIZE]; // one port has it at a time
	char iface[IF_NAMESIZE];
	uint32_t start_queue, n_queues; // of the interface
	bool forces_copy; // even where the interface's driver could do without
};

// False: another device, or one with arguments that only DPDK's driver knows, or refuses.
bool xdp_args_parse(const char *devargs, struct xdp_args *ret_args);
