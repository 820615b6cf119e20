// Devices of the kernel's vDPA bus. A management device, as vduse, makes such a device; a driver of
// the bus makes it a network interface (virtio_vdpa) or a file for virtual machines (vhost_vdpa).
//
// A function here takes at most timeout_ms. The kernel does the work inside the system call, where
// a device that does not answer keeps it: neither a socket's timeout nor a signal with a handler
// ends that. Therefore a thread of its own makes the call, and is left alone when the time is over.
// The thread ends when the kernel lets go of it: for a VDUSE device after its msg_timeout.
// Whoever is the VDUSE device may wait here, while another of its threads answers the kernel.
// err gets a message for people, without the object's name in front; it is untouched on success.
#pragma once

#include "rtvs/types.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define VDPA_NAME_SIZE 256 // of a device, its management device or a driver, with the NUL
#define VDPA_ERR_SIZE 512
#define VDPA_MAX_CALLS 8 // threads that the kernel keeps; one more is refused
#define VDPA_TIMEOUT_MS 10000 // for whoever has no better limit

struct vdpa_dev {
	char mgmtdev[VDPA_NAME_SIZE];
	uint32_t n_queues; // at most; two are a pair
	bool has_mac; // else its driver makes one up
	struct mac mac;
	uint16_t mtu; // 0: not said
	bool has_link, is_link_up;
};

// The management device knows the device by this name already: VDUSE's is the one below /dev/vduse.
// A driver of the bus that is loaded takes the new device at once. -EEXIST: there is a device of
// that name; -ENOENT: the kernel has no vDPA; -ENODEV: it has no such management device; -EINVAL:
// this one has no such device, or a name is empty or too long; -EPERM; -ETIMEDOUT: the device may
// still come; -EBUSY: VDPA_MAX_CALLS.
int vdpa_dev_new(const char *name, const char *mgmtdev, unsigned timeout_ms, char err[VDPA_ERR_SIZE]);
// Its interface goes, wherever that is, and its vhost-vdpa file. -ENODEV: there is no such device;
// -EBUSY: a program has the file open. The kernel would wait for that program without limit, and
// keep every other request about any device waiting.
int vdpa_dev_del(const char *name, unsigned timeout_ms, char err[VDPA_ERR_SIZE]);
int vdpa_dev_get(const char *name, struct vdpa_dev *ret_dev, unsigned timeout_ms, char err[VDPA_ERR_SIZE]);

// The bus in sysfs. root is a directory in front of /sys and /dev for tests; "" is the machine.
// Names with a slash name nothing.

// "": no driver. -ENODEV: there is no such device.
int vdpa_bus_driver(const char *root, const char *name, char ret_driver[VDPA_NAME_SIZE]);
// What the driver made of the device, with prefix "virtio" or "vhost-vdpa-". -ENOENT: nothing yet.
int vdpa_bus_child(const char *root, const char *name, const char *prefix, char ret_child[VDPA_NAME_SIZE]);
// The number of devices or a negative errno; names in order, to be freed. A kernel without the bus
// has none.
int vdpa_bus_list(const char *root, char (**ret_names)[VDPA_NAME_SIZE]);
// driver "": none. Nothing happens where it has that driver. -ENODEV: there is no such device;
// -ENOENT: the kernel has no such driver; -EBUSY: a program has its vhost-vdpa file open; -EPERM;
// -ETIMEDOUT, as above.
int vdpa_bus_bind(const char *root, const char *name, const char *driver, unsigned timeout_ms, char err[VDPA_ERR_SIZE]);

// Network interfaces, in the network namespace of the calling thread.

struct vdpa_link {
	uint32_t index;
	char name[IF_NAMESIZE];
	struct mac mac;
	uint32_t mtu;
	bool is_up; // as the administrator set it
};

// The interface of the virtio device "virtio3". -ENOENT: it is not in this namespace.
int vdpa_link_find(const char *virtio, struct vdpa_link *ret_link, unsigned timeout_ms, char err[VDPA_ERR_SIZE]);
// One step, or nothing of it. name, mac NULL: as it is. netns: the descriptor of the namespace that
// the interface moves to, or -1. An interface that moves is down afterwards.
int vdpa_link_set(uint32_t index, const char *name, const struct mac *mac, int netns, bool is_up, unsigned timeout_ms,
	char err[VDPA_ERR_SIZE]);
