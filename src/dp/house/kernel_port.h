// What ports above the kernel's interfaces share: the names of their devices, and descriptors that
// one process sends to the next. Control thread.
#pragma once

#include "io/devargs.h"
#include "port.h"

#define KERNEL_PORT_FD_SIZE 32 // of a descriptor's name: "tap.net_tap0.3"

// -EBUSY: a port of the type has the device, or had it and is not gone yet.
int kernel_port_check(const struct dp *dp, const struct port_type *type, const char *device, char err[DP_ERR_SIZE]);

// Sends a descriptor of a queue, of a kind of 3 characters. False: it could not be sent.
bool kernel_port_send(const struct dp_fd_store *to, const char *kind, const char *device, unsigned queue, int fd);
// A descriptor that the former process sent, which is the datapath's from here on. False: it is
// none of such a port, and is still the caller's.
bool kernel_port_give(struct dp *dp, const char *name, int fd);
// The last one of that name, which is the caller's. -1: there is none.
int kernel_port_take(struct dp *dp, const char *kind, const char *device, unsigned queue);
void kernel_port_end_given(struct dp *dp); // those that no port has
