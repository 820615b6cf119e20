// A TAP of the kernel by the descriptors of its queues, which may be another process's, too. A
// queue is left, and the packets in it are lost, when its last descriptor is closed. Control
// thread.
#pragma once

#include "base/dp_error.h"
#include "tap_args.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define TAP_MAX_QUEUES 8

struct tap_device {
	int fd[TAP_MAX_QUEUES]; // both directions of a queue; they do not block
	unsigned n; // queues
};

// Makes the interface, which is down, or goes on with a persistent one. 0 or a negative errno.
int tap_device_open(
	const struct tap_args *args, unsigned n_queues, struct tap_device *ret_device, char err[DP_ERR_SIZE]);
// Whether packets that are read and written have the form of those of tap_device_open. An interface
// that is gone has none. -EPROTO
int tap_device_check(const struct tap_device *device);
void tap_device_close(struct tap_device *device);

// Its name by now, "": it is gone.
void tap_device_name(const struct tap_device *device, char ret_name[IF_NAMESIZE]);
bool tap_device_mac(const struct tap_device *device, struct mac *ret_mac);
// Of an interface in another network namespace: 0, and nothing changed; set_mtu: -ENODEV.
int tap_device_set_up(const struct tap_device *device, bool is_up);
int tap_device_set_mtu(const struct tap_device *device, uint32_t mtu);
