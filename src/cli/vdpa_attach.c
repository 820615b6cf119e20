// An interface that is made belongs to the first network namespace, and moves from there by the
// descriptor of its new one. From which namespace it is, the kernel says only inside of that: so
// the process enters the new one and looks there, too.
#include "vdpa_attach.h"

#include "rtvs/units.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONTAINER_DRIVER "virtio_vdpa"
#define GUEST_DRIVER "vhost_vdpa"
#define TICK_MS 20

__attribute__((format(printf, 3, 4))) static int
refuse(char err[VDPA_ERR_SIZE], int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(err, VDPA_ERR_SIZE, format, args);
	va_end(args);
	return rc;
}

static void
netns_path(const char *netns, char path[PATH_MAX])
{
	if (strchr(netns, '/'))
		(void)snprintf(path, PATH_MAX, "%s", netns);
	else if (!netns[strspn(netns, "0123456789")])
		(void)snprintf(path, PATH_MAX, "/proc/%s/ns/net", netns);
	else
		(void)snprintf(path, PATH_MAX, "/run/netns/%s", netns);
}

static int
open_netns(const char *path, char err[VDPA_ERR_SIZE])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		(void)close(fd);
		return refuse(err, -EINVAL, "%.300s is no network namespace", path);
	}
	if (fd < 0 && errno == ENOENT)
		return refuse(
			err, -ENOENT, "there is no network namespace %.300s: ip netns list has those with names", path);
	if (fd < 0)
		return refuse(err, -errno, "%.300s: %s", path, strerror(errno));
	return fd;
}

static int
enter(int netns, const char *path, char err[VDPA_ERR_SIZE])
{
	if (!setns(netns, CLONE_NEWNET))
		return 0;
	if (errno == EPERM)
		return refuse(err, -EPERM, "no permission for network namespaces: needs root");
	return refuse(err, -errno, "%.300s: %s", path, strerror(errno));
}

// What the driver makes of the device appears shortly after the driver has it.
static int
wait_for_child(const char *device, const char *prefix, unsigned timeout_ms, char child[VDPA_NAME_SIZE],
	char err[VDPA_ERR_SIZE])
{
	for (unsigned ms = 0; vdpa_bus_child("", device, prefix, child); ms += TICK_MS) {
		if (ms >= timeout_ms)
			return refuse(err, -ETIMEDOUT, "%.255s: nothing came of it within %u ms; dmesg may say why",
				device, timeout_ms);
		(void)poll(NULL, 0, TICK_MS);
	}
	return 0;
}

static int
bind_driver(const struct vdpa_attach_options *o, const char *driver, char err[VDPA_ERR_SIZE])
{
	char current[VDPA_NAME_SIZE];
	struct vdpa_link link;

	// An interface that is not here is some container's.
	if (!vdpa_bus_driver("", o->device, current) && !strcmp(current, CONTAINER_DRIVER) && strcmp(driver, current) &&
		!vdpa_attach_interface(o->device, &link, o->timeout_ms))
		return refuse(err, -EBUSY,
			"%.255s is in use: its interface is in another network namespace; rtvsctl vdpa detach first",
			o->device);
	return vdpa_bus_bind("", o->device, driver, o->timeout_ms, err);
}

bool
vdpa_attach_interface(const char *device, struct vdpa_link *ret_link, unsigned timeout_ms)
{
	char virtio[VDPA_NAME_SIZE], err[VDPA_ERR_SIZE];

	return !vdpa_bus_child("", device, "virtio", virtio) && !vdpa_link_find(virtio, ret_link, timeout_ms, err);
}

// In the namespace of this process.
static int
configure(const struct vdpa_attach_options *o, const char *virtio, struct vdpa_link *link, char err[VDPA_ERR_SIZE])
{
	const char *name = o->name && strcmp(o->name, link->name) ? o->name : NULL;
	const struct mac *mac = o->has_mac && memcmp(&o->mac, &link->mac, sizeof(link->mac)) ? &o->mac : NULL;
	int rc = 0;

	if (name || mac || !link->is_up)
		rc = vdpa_link_set(link->index, name, mac, -1, true, o->timeout_ms, err);
	return rc ? rc : vdpa_link_find(virtio, link, o->timeout_ms, err);
}

// Into the namespace, where it is not there yet. The process is there afterwards.
static int
move(const struct vdpa_attach_options *o, const char *virtio, int netns, const char *path, struct vdpa_link *link,
	char err[VDPA_ERR_SIZE])
{
	bool is_here = !vdpa_link_find(virtio, link, o->timeout_ms, err);
	int rc = 0;

	if (is_here && netns >= 0)
		rc = vdpa_link_set(link->index, o->name, o->has_mac ? &o->mac : NULL, netns, false, o->timeout_ms, err);
	if (!rc && netns >= 0)
		rc = enter(netns, path, err);
	if (!rc && vdpa_link_find(virtio, link, o->timeout_ms, err))
		rc = refuse(err, -EBUSY,
			"%.255s is in use: its interface is in another network namespace; rtvsctl vdpa detach first",
			o->device);
	return rc;
}

static int
attach_interface(const struct vdpa_attach_options *o, int netns, const char *path, struct vdpa_link *link,
	char err[VDPA_ERR_SIZE])
{
	char virtio[VDPA_NAME_SIZE];
	int rc = bind_driver(o, CONTAINER_DRIVER, err);

	if (!rc)
		rc = wait_for_child(o->device, "virtio", o->timeout_ms, virtio, err);
	if (!rc)
		rc = move(o, virtio, netns, path, link, err);
	return rc ? rc : configure(o, virtio, link, err);
}

int
vdpa_attach_container(const struct vdpa_attach_options *o, json_t **ret_result, char err[VDPA_ERR_SIZE])
{
	char path[PATH_MAX] = "/proc/self/ns/net", mac[UNITS_TEXT_SIZE];
	struct vdpa_link link = {0};
	int netns = -1, rc = 0;

	if (o->netns) {
		netns_path(o->netns, path);
		netns = open_netns(path, err);
		rc = netns < 0 ? netns : 0;
	}
	if (!rc)
		rc = attach_interface(o, netns, path, &link, err);
	if (netns >= 0)
		(void)close(netns);
	if (rc)
		return rc;
	*ret_result = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "device", o->device, "driver", CONTAINER_DRIVER,
		"interface", link.name, "mac", units_format_mac(&link.mac, mac), "mtu", (int)link.mtu, "netns", path);
	return 0;
}

// QEMU's own address and the device's are one where the device has one.
static json_t *
qemu_arguments(const char *path, const char *mac)
{
	return json_pack("[s, s+, s, s++]", "-netdev", "vhost-vdpa,id=n0,vhostdev=", path, "-device",
		"virtio-net-pci,netdev=n0,iommu_platform=on,disable-legacy=on", mac[0] ? ",mac=" : "", mac);
}

int
vdpa_attach_guest(const struct vdpa_attach_options *o, json_t **ret_result, char err[VDPA_ERR_SIZE])
{
	char child[VDPA_NAME_SIZE], path[VDPA_NAME_SIZE + 8], mac[UNITS_TEXT_SIZE] = "";
	struct vdpa_dev dev = {0};
	int rc = bind_driver(o, GUEST_DRIVER, err);

	if (!rc)
		rc = wait_for_child(o->device, "vhost-vdpa-", o->timeout_ms, child, err);
	if (!rc)
		rc = vdpa_dev_get(o->device, &dev, o->timeout_ms, err);
	if (rc)
		return rc;
	(void)snprintf(path, sizeof(path), "/dev/%s", child);
	if (o->has_mac)
		units_format_mac(&o->mac, mac);
	else if (dev.has_mac)
		units_format_mac(&dev.mac, mac);
	*ret_result = json_pack("{s:s, s:s, s:s, s:s, s:o}", "device", o->device, "driver", GUEST_DRIVER, "path", path,
		"mac", mac, "qemu", qemu_arguments(path, mac));
	return 0;
}
