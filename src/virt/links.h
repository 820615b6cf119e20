// Links to the files that QEMU opens for vdpa interfaces: the kernel numbers these files as their
// devices come, and libvirt wants one name.
#pragma once

#include "domain.h"

#define LINKS_TIMEOUT_MS 3000 // of each step in the kernel: libvirt may hold the domain meanwhile

// Gives the port's device to vhost_vdpa and makes the link, DOMAIN_RUN_DIR/NAME.vdpa. root is a
// directory in front of /sys, /dev and /run for tests; "" is the machine. 0, or a negative errno
// with err.
int links_make(const char *root, const char *port, char err[DOMAIN_ERR_SIZE]);
// Removes the link, if there is one.
void links_drop(const char *root, const char *port);
