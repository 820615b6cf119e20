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

#include <stdbool.h>
#include <stdint.h>

#define VDPA_NAME_SIZE 256 // of a device, its management device or a driver, with the NUL
#define VDPA_ERR_SIZE 512
#define VDPA_MAX_CALLS 8 // threads that the kernel keeps; one more is refused
#define VDPA_TIMEOUT_MS 10000 // for whoever has no better limit

struct vdpa_dev {
	char mgmtdev[VDPA_NAME_SIZE];
	uint32_t n_queues; // at most; two are a pair
	uint8_t mac[6]; // zeros: the device has none, and its driver makes one up
	uint16_t mtu; // 0: not said
	bool has_link, is_link_up;
};

// The management device knows the device by this name already: VDUSE's is the one below /dev/vduse.
// A driver of the bus that is loaded takes the new device at once. -EEXIST: there is a device of
// that name; -ENOENT: the kernel has no vDPA; -ENODEV: it has no such management device; -EINVAL:
// this one has no such device, or a name is empty or too long; -EPERM; -ETIMEDOUT: the device may
// still come; -EBUSY: VDPA_MAX_CALLS.
int vdpa_dev_new(const char *name, const char *mgmtdev, unsigned timeout_ms, char err[VDPA_ERR_SIZE]);
// Its interface goes, wherever that is, and its vhost-vdpa file. -ENODEV: there is no such device.
int vdpa_dev_del(const char *name, unsigned timeout_ms, char err[VDPA_ERR_SIZE]);
int vdpa_dev_get(const char *name, struct vdpa_dev *ret_dev, unsigned timeout_ms, char err[VDPA_ERR_SIZE]);
