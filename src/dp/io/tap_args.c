// Reads the devargs of a TAP. Arguments that are not known here (remote, speed, mac=fixed) are not
// ignored: such a device is DPDK's driver's.
#include "tap_args.h"

#include "rtvs/units.h"

#include <string.h>

static bool
take(const char *key, const char *value, void *arg)
{
	struct tap_args *args = arg;

	if (!strcmp(key, "iface"))
		return devargs_take_iface(value, args->iface);
	if (!strcmp(key, "persist")) {
		args->is_persistent = true;
		return !strcmp(value, "1");
	}
	if (!strcmp(key, "mac")) {
		args->has_mac = true;
		return units_parse_mac(value, &args->mac) == 0;
	}
	return false;
}

bool
tap_args_parse(const char *devargs, struct tap_args *ret_args)
{
	struct tap_args args = {0};

	if (!devargs_parse(devargs, "net_tap", args.device, take, &args))
		return false;
	*ret_args = args;
	return true;
}
