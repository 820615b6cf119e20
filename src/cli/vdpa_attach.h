// The steps that hand a vDPA device to a container or a virtual machine. Each is done only where
// its result is not there yet, so that a caller may repeat all of them.
#pragma once

#include "rtvs/types.h"
#include "rtvs/vdpa.h"

#include <jansson.h>

struct vdpa_attach_options {
	const char *device;
	const char *netns; // a name below /run/netns, a process, or a path; NULL: this namespace
	const char *name; // of the interface; NULL: as it is
	bool has_mac;
	struct mac mac;
	unsigned timeout_ms; // of each step
};

// The interface in its namespace, up. ret_result: {"device","driver","interface","mac","mtu",
// "netns"}. A negative errno with a message; -ENODEV: there is no such device. The calling process
// may be in the other network namespace afterwards.
int vdpa_attach_container(const struct vdpa_attach_options *o, json_t **ret_result, char err[VDPA_ERR_SIZE]);
// For QEMU: {"device","driver","path","mac","qemu"}.
int vdpa_attach_guest(const struct vdpa_attach_options *o, json_t **ret_result, char err[VDPA_ERR_SIZE]);
// The device's interface, where it is in this network namespace.
bool vdpa_attach_interface(const char *device, struct vdpa_link *ret_link, unsigned timeout_ms);
