// The devargs of a kernel's TAP ("net_tap0,iface=t0"), whose form is that of DPDK's driver net_tap.
#pragma once

#include "devargs.h"
#include "rtvs/types.h"

struct tap_args {
	char device[DEVARGS_DEVICE_SIZE]; // one TAP has it at a time
	char iface[IF_NAMESIZE]; // "": the kernel numbers it
	struct mac mac; // of the interface
	bool has_mac, is_persistent;
};

// False: another device, or a TAP with arguments that only DPDK's driver knows, or refuses.
bool tap_args_parse(const char *devargs, struct tap_args *ret_args);
