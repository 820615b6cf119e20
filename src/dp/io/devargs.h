// The form of devargs: "net_tap0,key=value,...", with or without "vdev:" before it. Pure.
#pragma once

#include <net/if.h>
#include <stdbool.h>

#define DEVARGS_DEVICE_SIZE 24 // of "net_tap0"

// Takes one argument. False: it or its value is not known.
typedef bool devargs_take_fn(const char *key, const char *value, void *arg);

// False: another driver's device, or an argument that was not taken.
bool devargs_parse(const char *devargs, const char *driver, char ret_device[DEVARGS_DEVICE_SIZE], devargs_take_fn *take,
	void *arg);
// The name of an interface. The kernel takes a % for the place of a number: it is refused.
bool devargs_take_iface(const char *value, char ret_iface[IF_NAMESIZE]);
