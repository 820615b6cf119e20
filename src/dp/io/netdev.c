// A TAP's driver side shows the interface wherever it was moved: its descriptor can be written
// while the interface is up, and is in error when the interface was deleted. Other interfaces are
// looked up by index, which a later interface of the same name does not get. Sockets and rings that
// were bound to the first are dead then. Three events wake the control thread: netlink's news of
// this namespace, a TAP that can be written again, and a worker that could not write to one. A TAP
// that is set down in another namespace causes only the last. Netlink may lose news, which is no
// harm: states are read, not news.
#include "netdev.h"

#include "rtvs/text.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCH_BURST 16
#define MESSAGES_MAX 64 // of netlink, in one run

struct netdev_watch {
	int epoll_fd, netlink_fd, wake_fd;
};

enum netdev_state
netdev_state(unsigned ifindex)
{
	struct ifreq ifr = {.ifr_ifindex = (int)ifindex};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return NETDEV_UP; // nothing is known
	rc = ioctl(fd, SIOCGIFNAME, &ifr);
	if (!rc)
		rc = ioctl(fd, SIOCGIFFLAGS, &ifr);
	close(fd);
	if (rc)
		return NETDEV_GONE;
	if (!(ifr.ifr_flags & IFF_UP))
		return NETDEV_DOWN;
	return ifr.ifr_flags & IFF_RUNNING ? NETDEV_UP : NETDEV_NO_CARRIER;
}

enum netdev_state
netdev_tap_state(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (poll(&p, 1, 0) < 0)
		return NETDEV_UP;
	if (p.revents & (POLLERR | POLLNVAL))
		return NETDEV_GONE;
	return p.revents & POLLOUT ? NETDEV_UP : NETDEV_DOWN;
}

void
netdev_explain(enum netdev_state state, const char *ifname, char *text, size_t size)
{
	switch (state) {
	case NETDEV_UP:
		snprintf(text, size, "the device has no link");
		break;
	case NETDEV_DOWN:
		snprintf(text, size, "interface %s is down; where it is: ip link set %s up", ifname, ifname);
		break;
	case NETDEV_NO_CARRIER:
		snprintf(text, size, "interface %s has no carrier: its cable, or the other end of a veth", ifname);
		break;
	case NETDEV_GONE:
		snprintf(text, size, "interface %s is gone; delete the port and add it again", ifname);
		break;
	}
}

// A socket for ioctls by the name in *ret_ifr, or a negative errno.
static int
open_ioctl(const char *ifname, struct ifreq *ret_ifr)
{
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = s < 0 ? -errno : s;

	*ret_ifr = (struct ifreq){0};
	(void)text_copy(ret_ifr->ifr_name, sizeof(ret_ifr->ifr_name), ifname);
	return rc;
}

int
netdev_set_flags(const char *ifname, short flags, bool is_on)
{
	struct ifreq ifr;
	int s = open_ioctl(ifname, &ifr), rc = s < 0 ? s : 0;
	short wanted;

	if (!rc && ioctl(s, SIOCGIFFLAGS, &ifr))
		rc = -errno;
	wanted = (short)(is_on ? ifr.ifr_flags | flags : ifr.ifr_flags & ~flags);
	if (!rc && wanted != ifr.ifr_flags) {
		ifr.ifr_flags = wanted;
		rc = ioctl(s, SIOCSIFFLAGS, &ifr) ? -errno : 0;
	}
	if (s >= 0)
		close(s);
	return rc;
}

int
netdev_set_mtu(const char *ifname, uint32_t mtu)
{
	struct ifreq ifr;
	int s = open_ioctl(ifname, &ifr), rc = s < 0 ? s : 0;

	ifr.ifr_mtu = (int)mtu;
	if (!rc && ioctl(s, SIOCSIFMTU, &ifr))
		rc = -errno;
	if (s >= 0)
		close(s);
	return rc;
}

int
netdev_mac(const char *ifname, struct mac *ret_mac)
{
	struct ifreq ifr;
	int s = open_ioctl(ifname, &ifr), rc = s < 0 ? s : 0;

	if (!rc && ioctl(s, SIOCGIFHWADDR, &ifr))
		rc = -errno;
	if (!rc)
		memcpy(ret_mac->b, ifr.ifr_hwaddr.sa_data, sizeof(ret_mac->b));
	if (s >= 0)
		close(s);
	return rc;
}

int
netdev_watch_create(struct netdev_watch **ret_watch)
{
	const struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	struct netdev_watch *watch = malloc(sizeof(*watch));
	struct epoll_event ev = {.events = EPOLLIN};
	int rc = 0;

	if (!watch)
		return -ENOMEM;
	watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	watch->netlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	watch->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (watch->epoll_fd < 0 || watch->netlink_fd < 0 || watch->wake_fd < 0 ||
		bind(watch->netlink_fd, (const struct sockaddr *)&links, sizeof(links)) ||
		epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->netlink_fd, &ev) ||
		epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->wake_fd, &ev))
		rc = -errno;
	if (rc)
		netdev_watch_destroy(watch);
	else
		*ret_watch = watch;
	return rc;
}

void
netdev_watch_destroy(struct netdev_watch *watch)
{
	if (!watch)
		return;
	for (unsigned i = 0; i < 3; i++) {
		int fd = ((int[]){watch->epoll_fd, watch->netlink_fd, watch->wake_fd})[i];

		if (fd >= 0)
			close(fd);
	}
	free(watch);
}

int
netdev_watch_fd(const struct netdev_watch *watch)
{
	return watch->epoll_fd;
}

void
netdev_watch_tap(struct netdev_watch *watch, int fd)
{
	struct epoll_event ev = {.events = EPOLLOUT | EPOLLET};

	(void)epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

void
netdev_watch_wake(struct netdev_watch *watch)
{
	(void)eventfd_write(watch->wake_fd, 1);
}

bool
netdev_watch_run(struct netdev_watch *watch)
{
	struct epoll_event ev[WATCH_BURST];
	char ignored[8192];
	eventfd_t n;

	if (epoll_wait(watch->epoll_fd, ev, WATCH_BURST, 0) <= 0)
		return false;
	(void)eventfd_read(watch->wake_fd, &n);
	for (unsigned i = 0; i < MESSAGES_MAX; i++)
		if (recv(watch->netlink_fd, ignored, sizeof(ignored), MSG_DONTWAIT) < 0 && errno != ENOBUFS)
			break;
	return true;
}
