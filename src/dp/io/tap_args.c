// Reads the devargs of a TAP. Arguments that are not known here (remote, speed, mac=fixed) are not
// ignored: such a device is DPDK's driver's.
#include "tap_args.h"

#include "rtvs/text.h"
#include "rtvs/units.h"

#include <string.h>

#define DRIVER "net_tap"

// The value of "key=value"; NULL: another key.
static const char *
value_of(const char *arg, const char *key)
{
	size_t len = strlen(key);

	return strncmp(arg, key, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

// The kernel takes a % for the place of a number.
static bool
take_iface(const char *value, struct tap_args *args)
{
	return value[0] && !strpbrk(value, "%/: ") && text_copy(args->iface, sizeof(args->iface), value);
}

static bool
take(const char *arg, struct tap_args *args)
{
	const char *value;

	if ((value = value_of(arg, "iface")))
		return take_iface(value, args);
	if ((value = value_of(arg, "persist"))) {
		args->is_persistent = true;
		return strcmp(value, "1") == 0;
	}
	if ((value = value_of(arg, "mac"))) {
		args->has_mac = true;
		return units_parse_mac(value, &args->mac) == 0;
	}
	return false;
}

bool
tap_args_parse(const char *devargs, struct tap_args *ret_args)
{
	struct tap_args args = {0};
	const char *cursor = strncmp(devargs, "vdev:", 5) ? devargs : devargs + 5;
	char piece[64];
	size_t len = strcspn(cursor, ",");

	if (strncmp(cursor, DRIVER, strlen(DRIVER)) != 0 || len >= sizeof(args.device))
		return false;
	memcpy(args.device, cursor, len);
	for (cursor += len; *cursor; cursor += len) {
		len = strcspn(++cursor, ",");
		if (len >= sizeof(piece))
			return false;
		memcpy(piece, cursor, len);
		piece[len] = '\0';
		if (!take(piece, &args))
			return false;
	}
	*ret_args = args;
	return true;
}
