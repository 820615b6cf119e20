// The one file that calls librte_vhost. The library listens on a path: one in a directory that is
// made for it, and removed as soon as this file holds the socket's inode, by which it connects. So
// nobody else can connect, and a daemon that is killed leaves nothing.
// The library's thread calls set_running; it finds the device by the path's last part, its id.
#include "vdpa_device.h"

#include "base/dp_error.h"
#include "rtvs/vhost_user.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_vdpa.h>
#include <rte_vhost.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DIRECTORY "/tmp/rtvswitchd-XXXXXX" // for mkdtemp
#define PATH_SIZE 48
#define MAX_STATS 64 // names of one device

// clang-format off
#define FUNCTIONS(X) \
	X(rte_vdpa_find_device_by_name) \
	X(rte_vdpa_get_rte_device) \
	X(rte_vdpa_get_queue_num) \
	X(rte_vdpa_get_stats) \
	X(rte_vdpa_get_stats_names) \
	X(rte_vhost_driver_attach_vdpa_device) \
	X(rte_vhost_driver_callback_register) \
	X(rte_vhost_driver_detach_vdpa_device) \
	X(rte_vhost_driver_disable_features) \
	X(rte_vhost_driver_get_protocol_features) \
	X(rte_vhost_driver_register) \
	X(rte_vhost_driver_set_max_queue_num) \
	X(rte_vhost_driver_set_protocol_features) \
	X(rte_vhost_driver_start) \
	X(rte_vhost_driver_unregister) \
	X(rte_vhost_get_ifname)
// clang-format on

// A switch without such devices does not load the library, and eight others that it needs.
static struct {
	bool is_loaded;
#define X(name) __typeof__(name) *name;
	FUNCTIONS(X)
#undef X
} lib;

struct vdpa_device {
	unsigned id;
	char path[PATH_SIZE]; // as librte_vhost knows it: by the descriptor of its directory
	int directory; // which is removed: no other program can put anything there
	int socket; // inode of what listens there
	int changes; // eventfd
	_Atomic unsigned n_running; // connections whose rings the device has
	struct rte_vdpa_device *dev;
	bool is_ours; // it was probed by us
	unsigned n_queues;
};

static _Atomic(struct vdpa_device *) devices[DP_MAX_PORTS];

// DPDK's drivers and libraries are of one ABI, which the directory of the former names: pmds-25.0.
static int
load(char err[DP_ERR_SIZE])
{
	const char *abi = strrchr(RTE_EAL_PMD_PATH, '-');
	char name[40];
	void *handle;

	if (lib.is_loaded)
		return 0;
	snprintf(name, sizeof(name), "librte_vhost.so.%lu", abi ? strtoul(abi + 1, NULL, 10) : 0);
	handle = dlopen(name, RTLD_NOW);
	lib.is_loaded = handle;
#define X(name)                                                              \
	lib.name = handle ? (__typeof__(name) *)dlsym(handle, #name) : NULL; \
	lib.is_loaded &= lib.name != NULL;
	FUNCTIONS(X)
#undef X
	if (lib.is_loaded)
		return 0;
	dp_error(err, "vdpa: DPDK's %s cannot be loaded: %s", name, dlerror());
	return -ENOTSUP;
}

static void
set_running(int vid, bool is_running)
{
	char path[PATH_SIZE];
	const char *id = lib.rte_vhost_get_ifname(vid, path, sizeof(path)) ? NULL : strrchr(path, '/');
	struct vdpa_device *device = id ? atomic_load(&devices[strtoul(id + 1, NULL, 10) % DP_MAX_PORTS]) : NULL;

	if (!device)
		return;
	atomic_fetch_add(&device->n_running, is_running ? 1u : -1u);
	(void)eventfd_write(device->changes, 1);
}

static int
new_device(int vid)
{
	set_running(vid, true);
	return 0;
}

static void
destroy_device(int vid)
{
	set_running(vid, false);
}

static const struct rte_vhost_device_ops callbacks = {.new_device = new_device, .destroy_device = destroy_device};

// The part of devargs that names the device.
static void
copy_name(const char *devargs, char name[RTVS_DEVARGS_SIZE])
{
	snprintf(name, RTVS_DEVARGS_SIZE, "%.*s", (int)strcspn(devargs, ","), devargs);
}

// Of the class that the devargs name, if they do.
static int
probe(const char *devargs, const char *name, char err[DP_ERR_SIZE])
{
	char args[RTVS_DEVARGS_SIZE + 16];
	uint16_t port;
	int rc;

	if (!rte_eth_dev_get_port_by_name(name, &port)) {
		dp_error(err, "vdpa: device %.64s is in use as a network device (type=ethdev)", name);
		return -EBUSY;
	}
	snprintf(args, sizeof(args), "%s%s", devargs, strstr(devargs, ",class=") ? "" : ",class=vdpa");
	rc = rte_dev_probe(args);
	if (!rc)
		return 0;
	dp_error(err, "vdpa: no driver made a vDPA device of '%.120s': %s", devargs, strerror(-rc));
	return rc < 0 ? rc : -EIO;
}

static int
find(struct vdpa_device *device, const char *devargs, char err[DP_ERR_SIZE])
{
	char name[RTVS_DEVARGS_SIZE];
	int rc;

	copy_name(devargs, name);
	device->dev = lib.rte_vdpa_find_device_by_name(name);
	if (device->dev)
		return 0; // EAL's own argument -a named it
	rc = probe(devargs, name, err);
	if (rc)
		return rc;
	device->dev = lib.rte_vdpa_find_device_by_name(name);
	device->is_ours = device->dev;
	if (device->dev)
		return 0;
	dp_error(err, "vdpa: the driver of '%.120s' is none of the vDPA class", devargs);
	if (rte_eal_hotplug_remove("vdev", name))
		(void)rte_eal_hotplug_remove("pci", name);
	return -ENODEV;
}

static void
lose(struct vdpa_device *device)
{
	if (device->is_ours)
		(void)rte_dev_remove(lib.rte_vdpa_get_rte_device(device->dev));
}

// Messages that the daemon's own session would refuse are not offered (vdpa_link.c).
static int
limit(const struct vdpa_device *device, const struct vdpa_device_cfg *cfg)
{
	uint64_t protocol;

	return lib.rte_vhost_driver_get_protocol_features(device->path, &protocol) ||
		lib.rte_vhost_driver_set_protocol_features(device->path, protocol & VHOST_USER_PROTOCOL_FEATURES) ||
		lib.rte_vhost_driver_disable_features(device->path, cfg->hidden) ||
		lib.rte_vhost_driver_set_max_queue_num(device->path, cfg->n_pairs);
}

static int
listen_at(struct vdpa_device *device, const struct vdpa_device_cfg *cfg)
{
	// The library removes what does not listen as it removes what does.
	if (lib.rte_vhost_driver_register(device->path, 0))
		return -ENOSPC;
	if (!limit(device, cfg) && !lib.rte_vhost_driver_callback_register(device->path, &callbacks) &&
		!lib.rte_vhost_driver_attach_vdpa_device(device->path, device->dev) &&
		!lib.rte_vhost_driver_start(device->path)) {
		device->socket = open(device->path, O_PATH | O_CLOEXEC);
		if (device->socket >= 0)
			return 0;
	}
	(void)lib.rte_vhost_driver_unregister(device->path);
	return -EIO;
}

static int
start(struct vdpa_device *device, const struct vdpa_device_cfg *cfg, char err[DP_ERR_SIZE])
{
	char directory[] = DIRECTORY;
	int rc;

	if (!mkdtemp(directory)) {
		rc = -errno;
		dp_error(err, "vdpa: no directory in /tmp: %s", strerror(-rc));
		return rc;
	}
	device->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(device->path, sizeof(device->path), "/proc/self/fd/%d/%u", device->directory, device->id);
	rc = device->directory < 0 ? -errno : listen_at(device, cfg);
	(void)unlink(device->path);
	(void)rmdir(directory);
	if (!rc)
		return 0;
	dp_error(err, "vdpa: librte_vhost refused the device, see the log: %s", strerror(-rc));
	if (device->directory >= 0)
		close(device->directory);
	return rc;
}

int
vdpa_device_open(const struct vdpa_device_cfg *cfg, struct vdpa_device **ret_device, char err[DP_ERR_SIZE])
{
	struct vdpa_device *device;
	uint32_t n_pairs;
	int rc = load(err);

	if (rc)
		return rc;
	device = calloc(1, sizeof(*device));
	if (!device) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	device->id = cfg->id;
	device->changes = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = device->changes < 0 ? -errno : find(device, cfg->devargs, err);
	if (rc)
		goto err_free;
	if (!lib.rte_vdpa_get_queue_num(device->dev, &n_pairs))
		device->n_queues = 2 * RTE_MIN(n_pairs, cfg->n_pairs);
	atomic_store(&devices[device->id], device);
	rc = start(device, cfg, err);
	if (rc)
		goto err_lose;
	*ret_device = device;
	return 0;
err_lose:
	atomic_store(&devices[device->id], NULL);
	lose(device);
err_free:
	if (device->changes >= 0)
		close(device->changes);
	free(device);
	return rc;
}

void
vdpa_device_close(struct vdpa_device *device)
{
	if (!device)
		return;
	(void)lib.rte_vhost_driver_detach_vdpa_device(device->path);
	(void)lib.rte_vhost_driver_unregister(device->path);
	atomic_store(&devices[device->id], NULL);
	lose(device);
	close(device->socket);
	close(device->directory);
	close(device->changes);
	free(device);
}

unsigned
vdpa_device_stats(struct vdpa_device *device, struct dp_device_stat *ret_stats, unsigned max)
{
	struct rte_vdpa_stat_name names[MAX_STATS];
	struct rte_vdpa_stat stats[MAX_STATS];
	int n_names = lib.rte_vdpa_get_stats_names(device->dev, names, MAX_STATS);
	unsigned n = 0;

	for (unsigned q = 0; q < device->n_queues && n_names > 0; q++) {
		int n_stats =
			lib.rte_vdpa_get_stats(device->dev, (uint16_t)q, stats, (unsigned)RTE_MIN(n_names, MAX_STATS));

		for (int i = 0; i < RTE_MIN(n_stats, MAX_STATS) && n < max; i++) {
			if (stats[i].id >= (uint64_t)RTE_MIN(n_names, MAX_STATS))
				continue;
			ret_stats[n].queue = q;
			ret_stats[n].value = stats[i].value;
			snprintf(ret_stats[n].name, sizeof(ret_stats[n].name), "%.63s", names[stats[i].id].name);
			n++;
		}
	}
	return n;
}

int
vdpa_device_connect(const struct vdpa_device *device)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", device->socket);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

int
vdpa_device_changes(const struct vdpa_device *device)
{
	return device->changes;
}

bool
vdpa_device_is_running(const struct vdpa_device *device)
{
	return atomic_load(&device->n_running) > 0;
}
