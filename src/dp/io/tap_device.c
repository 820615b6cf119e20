// The kernel's TAP (Documentation/networking/tuntap.rst), with a queue for each descriptor. Frames
// have no header of the kernel's before them. What ioctls of a socket change by name is only
// changed while the interface is in the network namespace of this process: another one there may
// have the same name.
#include "tap_device.h"

#include "netdev.h"
#include "rtvs/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORM (IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE)
#define FORM_MASK (IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)
#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

static int
explain(int error, const char *name, char err[DP_ERR_SIZE])
{
	switch (error) {
	case EPERM:
		dp_error(err, "devargs: iface: %s: making a TAP needs CAP_NET_ADMIN", name);
		break;
	case EBUSY:
	case EINVAL:
		dp_error(err, "devargs: iface: %s is no name for a TAP with several queues, or another program has it",
			name);
		break;
	default:
		dp_error(err, "devargs: cannot make TAP %s: %s", name, strerror(error));
	}
	return -error;
}

static int
open_queue(struct tap_device *device, struct ifreq *ifr, char err[DP_ERR_SIZE])
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), rc;

	if (fd < 0) {
		rc = -errno;
		dp_error(err, "devargs: /dev/net/tun: %s%s", strerror(-rc), rc == -ENOENT ? ": modprobe tun" : "");
		return rc;
	}
	device->fd[device->n++] = fd;
	ifr->ifr_flags = FORM;
	return ioctl(fd, TUNSETIFF, ifr) ? explain(errno, ifr->ifr_name, err) : 0;
}

int
tap_device_open(const struct tap_args *args, unsigned n_queues, struct tap_device *ret_device, char err[DP_ERR_SIZE])
{
	struct tap_device device = {0};
	struct ifreq ifr = {0}, mac = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};
	int rc = 0;

	(void)text_copy(ifr.ifr_name, sizeof(ifr.ifr_name), args->iface[0] ? args->iface : "dtap%d");
	while (!rc && device.n < n_queues)
		rc = open_queue(&device, &ifr, err);
	// A persistent one has what the program before it set.
	if (!rc && ioctl(device.fd[0], TUNSETOFFLOAD, 0))
		rc = explain(errno, ifr.ifr_name, err);
	if (!rc && args->is_persistent && ioctl(device.fd[0], TUNSETPERSIST, 1))
		rc = explain(errno, ifr.ifr_name, err);
	memcpy(mac.ifr_hwaddr.sa_data, args->mac.b, sizeof(args->mac.b));
	if (!rc && args->has_mac && ioctl(device.fd[0], SIOCSIFHWADDR, &mac)) {
		rc = -errno;
		dp_error(err, "devargs: mac: %s", strerror(-rc));
	}
	if (rc)
		tap_device_close(&device);
	else
		*ret_device = device;
	return rc;
}

int
tap_device_check(const struct tap_device *device)
{
	for (unsigned i = 0; i < device->n; i++) {
		struct ifreq ifr = {0};

		if (ioctl(device->fd[i], TUNGETIFF, &ifr) ? errno != EBADFD : (ifr.ifr_flags & FORM_MASK) != FORM)
			return -EPROTO;
	}
	return 0;
}

void
tap_device_close(struct tap_device *device)
{
	while (device->n)
		close(device->fd[--device->n]);
}

void
tap_device_name(const struct tap_device *device, char ret_name[IF_NAMESIZE])
{
	struct ifreq ifr = {0};

	if (!device->n || ioctl(device->fd[0], TUNGETIFF, &ifr))
		ifr.ifr_name[0] = '\0';
	(void)text_copy(ret_name, IF_NAMESIZE, ifr.ifr_name);
}

bool
tap_device_mac(const struct tap_device *device, struct mac *ret_mac)
{
	struct ifreq ifr = {0};

	if (ioctl(device->fd[0], SIOCGIFHWADDR, &ifr))
		return false;
	memcpy(ret_mac->b, ifr.ifr_hwaddr.sa_data, sizeof(ret_mac->b));
	return true;
}

// A kernel that does not tell (before 5.7) shows none here.
static bool
is_here(const struct tap_device *device)
{
	int fd = ioctl(device->fd[0], TUNGETDEVNETNS);
	struct stat its, own;
	bool is_same = fd >= 0 && !fstat(fd, &its) && !stat("/proc/thread-self/ns/net", &own) &&
		its.st_dev == own.st_dev && its.st_ino == own.st_ino;

	if (fd >= 0)
		close(fd);
	return is_same;
}

// Its name for ioctls. -ENODEV: the interface is elsewhere, or gone.
static int
find_name(const struct tap_device *device, char ret_name[IF_NAMESIZE])
{
	tap_device_name(device, ret_name);
	return ret_name[0] && is_here(device) ? 0 : -ENODEV;
}

int
tap_device_set_up(const struct tap_device *device, bool is_up)
{
	char name[IF_NAMESIZE];

	return find_name(device, name) ? 0 : netdev_set_flags(name, IFF_UP, is_up);
}

int
tap_device_set_mtu(const struct tap_device *device, uint32_t mtu)
{
	char name[IF_NAMESIZE];
	int rc = find_name(device, name);

	return rc ? rc : netdev_set_mtu(name, mtu);
}
