// A device lives in the kernel: it stays there when the daemon dies, and goes on with the next one.
#include "vduse_device.h"

#include "base/dp_error.h"
#include "rtvs/vduse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DIRECTORY "/dev/vduse"
#define CONTROL DIRECTORY "/control"
#define BIT(n) (UINT64_C(1) << (n))
#define RING_SIZE 1024 // descriptors at most, as QEMU's largest
#define PAGE 4096 // rings begin at pages

uint64_t
vduse_device_features(const struct vduse_device_cfg *cfg)
{
	return cfg->features | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_NET_F_STATUS) |
		BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_MAC);
}

static struct virtio_net_config
space(const struct vduse_device_cfg *cfg, bool is_up)
{
	struct virtio_net_config s = {
		.status = is_up ? VIRTIO_NET_S_LINK_UP : 0, .max_virtqueue_pairs = 1, .mtu = cfg->mtu};

	if (cfg->mac)
		memcpy(s.mac, cfg->mac, sizeof(s.mac));
	return s;
}

static int
open_control(char err[DP_ERR_SIZE])
{
	uint64_t version = VDUSE_API_VERSION;
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC), rc = fd < 0 ? -errno : 0;

	if (!rc && ioctl(fd, VDUSE_SET_API_VERSION, &version))
		rc = -errno;
	if (!rc)
		return fd;
	if (fd >= 0)
		close(fd);
	if (rc == -ENOENT || rc == -ENXIO || rc == -ENODEV)
		dp_error(err,
			"type: the kernel has no VDUSE devices (" CONTROL
			"): modprobe vduse; Linux has network cards of that "
			"kind from 6.10 on");
	else
		dp_error(err, "type: " CONTROL ": %s%s", strerror(-rc),
			rc == -EACCES || rc == -EPERM ? ": the daemon needs to read and write it, and CAP_NET_ADMIN" :
							"");
	return rc;
}

// 0 or a negative errno.
static int
create(int control, const struct vduse_device_cfg *cfg)
{
	struct virtio_net_config s = space(cfg, false);
	union {
		struct vduse_dev_config config;
		uint8_t bytes[sizeof(struct vduse_dev_config) + sizeof(s)];
	} dev = {.config = {.device_id = VIRTIO_ID_NET,
			 .features = vduse_device_features(cfg) & ~(cfg->mac ? 0 : BIT(VIRTIO_NET_F_MAC)),
			 .vq_num = VDUSE_N_RINGS,
			 .vq_align = PAGE,
			 .config_size = sizeof(s)}};

	(void)snprintf(dev.config.name, sizeof(dev.config.name), "%s", cfg->name);
	memcpy(dev.config.config, &s, sizeof(s));
	return ioctl(control, VDUSE_CREATE_DEV, &dev) ? -errno : 0;
}

static int
destroy(int control, const char *name)
{
	char text[VDUSE_NAME_MAX] = "";

	(void)snprintf(text, sizeof(text), "%s", name);
	return ioctl(control, VDUSE_DESTROY_DEV, text) ? -errno : 0;
}

static int
open_device(const char *name)
{
	char path[sizeof(DIRECTORY) + VDUSE_NAME_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), DIRECTORY "/%s", name);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int
set_up_rings(int fd)
{
	for (uint32_t i = 0; i < VDUSE_N_RINGS; i++) {
		struct vduse_vq_config ring = {.index = i, .max_size = RING_SIZE};

		if (ioctl(fd, VDUSE_VQ_SETUP, &ring))
			return -errno;
	}
	return 0;
}

// Has it as many rings as ours, and a driver, if any, that ours can serve? Of a device that the
// kernel has given up it tells nothing.
static int
check_alike(int fd, const struct vduse_device_cfg *cfg)
{
	struct vduse_vq_info last = {.index = VDUSE_N_RINGS - 1}, none = {.index = VDUSE_N_RINGS};
	uint64_t agreed = 0;

	if (ioctl(fd, VDUSE_VQ_GET_INFO, &last))
		return errno == EPERM ? -ENOTRECOVERABLE : -EEXIST;
	if (!ioctl(fd, VDUSE_VQ_GET_INFO, &none) || ioctl(fd, VDUSE_DEV_GET_FEATURES, &agreed))
		return -EEXIST;
	return agreed & ~vduse_device_features(cfg) ? -ESTALE : 0;
}

static void
describe(int rc, const char *name, char err[DP_ERR_SIZE])
{
	if (rc == -EPERM || rc == -EACCES)
		dp_error(err,
			"type: the kernel refuses VDUSE device '%s': the daemon needs CAP_NET_ADMIN, and to read and "
			"write " DIRECTORY "/*",
			name);
	else if (rc == -EINVAL)
		dp_error(err, "type: the kernel refuses network cards as VDUSE devices: Linux has them from 6.10 on");
	else if (rc == -EBUSY)
		dp_error(err, "name: another program serves the VDUSE device '%s'", name);
	else if (rc == -EEXIST)
		dp_error(err, "name: the VDUSE device '%s' is there, and is no network card of this daemon's", name);
	else if (rc == -ENOTRECOVERABLE)
		dp_error(err, "the kernel gave the VDUSE device up while no daemon was there");
	else if (rc == -ESTALE)
		dp_error(err, "the driver of the VDUSE device uses packed, csum or tso, which the port has not");
	else
		dp_error(err, "cannot make the VDUSE device '%s': %s", name, strerror(-rc));
}

int
vduse_device_open(const struct vduse_device_cfg *cfg, bool *ret_is_stale, char err[DP_ERR_SIZE])
{
	int control = open_control(err), fd, rc;
	bool is_new;

	if (control < 0)
		return control;
	rc = create(control, cfg);
	// That it is in use is the bus's word, or another program's: opening it tells.
	if (rc == -EEXIST && !destroy(control, cfg->name))
		rc = create(control, cfg);
	is_new = !rc;
	if (rc == -EEXIST)
		rc = 0;
	fd = rc ? rc : open_device(cfg->name);
	rc = fd < 0 ? fd : is_new ? set_up_rings(fd) : check_alike(fd, cfg);
	*ret_is_stale = rc == -ENOTRECOVERABLE || rc == -ESTALE;
	if (rc)
		describe(rc, cfg->name, err);
	if (*ret_is_stale)
		rc = 0;
	if (rc) {
		if (fd >= 0)
			close(fd);
		if (is_new)
			(void)destroy(control, cfg->name);
	}
	close(control);
	return rc ? rc : fd;
}

int
vduse_device_set(int fd, const struct vduse_device_cfg *cfg, bool is_up)
{
	struct virtio_net_config s = space(cfg, is_up);
	uint32_t first = cfg->mac ? 0 : offsetof(struct virtio_net_config, status);
	union {
		struct vduse_config_data data;
		uint8_t bytes[sizeof(struct vduse_config_data) + sizeof(s)];
	} set = {.data = {.offset = first, .length = sizeof(s) - first}};

	memcpy(set.data.buffer, (const uint8_t *)&s + first, sizeof(s) - first);
	if (ioctl(fd, VDUSE_DEV_SET_CONFIG, &set))
		return -errno;
	(void)vduse_device_has_driver(fd);
	return 0;
}

// The kernel passes this interrupt on only then. A driver reads its configuration once more.
bool
vduse_device_has_driver(int fd)
{
	return !ioctl(fd, VDUSE_DEV_INJECT_CONFIG_IRQ);
}

int
vduse_device_destroy(const char *name)
{
	int control = open(CONTROL, O_RDWR | O_CLOEXEC), rc = control < 0 ? -errno : destroy(control, name);

	if (control >= 0)
		close(control);
	return rc;
}
