// The kernel's TAP (Documentation/networking/tuntap.rst). A TAP takes super-frames whatever follows
// behind it: the kernel segments them for an interface that cannot. UDP's super-frames are an
// exception, which kernels before 6.2 do not know. TUNSETOFFLOAD is about the other direction: the
// frames that this program may get.
#include "tap.h"

#include "failure.h"
#include "rtvs/segment.h"
#include "rtvs/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TUN_F_USO4 // headers before 6.2
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#define WITHOUT_USO (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define WITH_USO (WITHOUT_USO | TUN_F_USO4 | TUN_F_USO6)

static int
cannot_take(char *err, const char *name, int error)
{
	switch (error) {
	case EPERM:
		return failure(err, -error,
			"--tap: %s: not permitted: this needs CAP_NET_ADMIN, or a TAP made for this user with "
			"ip tuntap",
			name);
	case EBUSY:
		return failure(err, -error, "--tap: %s: another program has it", name);
	case EINVAL:
		return failure(err, -error, "--tap: %s: is no name for an interface, or is one of another kind", name);
	default:
		return failure(err, -error, "--tap: %s: %s", name, strerror(error));
	}
}

static int
attach(struct tap *tap, const struct tap_options *o, char *err)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int header = sizeof(struct segment_offload), little_endian = 1;

	(void)text_copy(ifr.ifr_name, sizeof(ifr.ifr_name), o->name);
	if (ioctl(tap->fd, TUNSETIFF, &ifr))
		return cannot_take(err, o->name, errno);
	memcpy(tap->name, ifr.ifr_name, IFNAMSIZ);
	if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header) || ioctl(tap->fd, TUNSETVNETLE, &little_endian) ||
		ioctl(tap->fd, TUNSETOFFLOAD, WITHOUT_USO))
		return failure(err, -errno, "--tap: %s: the kernel refuses offloads: %s", o->name, strerror(errno));
	tap->has_uso = !ioctl(tap->fd, TUNSETOFFLOAD, WITH_USO);
	return 0;
}

void
tap_offload(const struct tap *tap, bool has_uso)
{
	(void)ioctl(tap->fd, TUNSETOFFLOAD, has_uso ? WITH_USO : WITHOUT_USO);
}

// Of the namespace that the interface is in now.
static int
configure(struct tap *tap, const struct tap_options *o, char *err)
{
	struct ifreq ifr = {0};
	int s, rc = 0;

	memcpy(ifr.ifr_name, tap->name, IFNAMSIZ);
	if (o->has_mac) {
		ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
		memcpy(ifr.ifr_hwaddr.sa_data, o->mac.b, sizeof(o->mac.b));
		if (ioctl(tap->fd, SIOCSIFHWADDR, &ifr))
			return failure(err, -errno, "--mac: %s: %s", tap->name, strerror(errno));
	}
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return failure(err, -errno, "socket: %s", strerror(errno));
	ifr.ifr_mtu = (int)o->mtu;
	if (o->mtu && ioctl(s, SIOCSIFMTU, &ifr))
		rc = failure(err, -errno, "--mtu: %s: %s", tap->name, strerror(errno));
	if (!rc && !ioctl(s, SIOCGIFMTU, &ifr))
		tap->mtu = (uint32_t)ifr.ifr_mtu;
	// A user without the right gets an interface that another process sets up.
	if (!rc && !ioctl(s, SIOCGIFFLAGS, &ifr) && !(ifr.ifr_flags & IFF_UP)) {
		ifr.ifr_flags |= IFF_UP;
		if (ioctl(s, SIOCSIFFLAGS, &ifr) && errno != EPERM)
			rc = failure(err, -errno, "%s: cannot be set up: %s", tap->name, strerror(errno));
	}
	close(s);
	return rc;
}

int
tap_open(const struct tap_options *o, struct tap *ret_tap, char err[SEGMENT_ERR_SIZE])
{
	struct tap tap = {.fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
	int rc;

	if (tap.fd < 0)
		return failure(
			err, -errno, "/dev/net/tun: %s%s", strerror(errno), errno == ENOENT ? ": modprobe tun" : "");
	rc = attach(&tap, o, err);
	if (!rc)
		rc = configure(&tap, o, err);
	if (rc)
		close(tap.fd);
	else
		*ret_tap = tap;
	return rc;
}

bool
tap_mac(int fd, struct mac *ret_mac)
{
	struct ifreq ifr = {0};

	if (ioctl(fd, SIOCGIFHWADDR, &ifr))
		return false;
	memcpy(ret_mac->b, ifr.ifr_hwaddr.sa_data, sizeof(ret_mac->b));
	return true;
}
