// The kernel's network interface beneath a device: a TAP, or the interface of AF_PACKET, AF_XDP and
// pcap. Any process may set it down, move or delete it. The device's driver does not report that,
// and some drivers then count lost packets as sent.
#pragma once

#include "rtvs/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum netdev_state {
	NETDEV_UP,
	NETDEV_DOWN,
	NETDEV_NO_CARRIER, // no cable, or the other end of a veth is down
	NETDEV_GONE,
};

struct netdev_watch;

// An interface of this network namespace. One that was moved to another is gone.
enum netdev_state netdev_state(unsigned ifindex);
// A TAP by its descriptor, in whatever namespace it is by now.
enum netdev_state netdev_tap_state(int fd);
// Why a port above the interface has no link, for people.
void netdev_explain(enum netdev_state state, const char *ifname, char *text, size_t size);

// Of an interface of this network namespace, by its name; 0 or a negative errno.
int netdev_set_flags(const char *ifname, short flags, bool is_on);
int netdev_set_mtu(const char *ifname, uint32_t mtu);
int netdev_mac(const char *ifname, struct mac *ret_mac);

// Control thread. A watch's descriptor is readable when an interface of this namespace may have
// changed, or a TAP that was added may be up. Without a netlink socket (-ENOMEM and errors of
// socket(2)) nothing is watched, and changes are seen when states are polled.
int netdev_watch_create(struct netdev_watch **ret_watch);
void netdev_watch_destroy(struct netdev_watch *watch);
int netdev_watch_fd(const struct netdev_watch *watch);
void netdev_watch_tap(struct netdev_watch *watch, int fd); // until it is closed
void netdev_watch_wake(struct netdev_watch *watch); // any thread
bool netdev_watch_run(struct netdev_watch *watch); // whether states should be looked at
