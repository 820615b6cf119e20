// Reads the devargs of devices that have no driver of DPDK's here. The caller knows their keys.
#include "devargs.h"

#include "rtvs/text.h"

#include <string.h>

#define PIECE_SIZE 64 // of "key=value"

static bool
take_piece(char *piece, devargs_take_fn *take, void *arg)
{
	char *value = strchr(piece, '=');

	if (!value)
		return false;
	*value++ = '\0';
	return take(piece, value, arg);
}

bool
devargs_parse(
	const char *devargs, const char *driver, char ret_device[DEVARGS_DEVICE_SIZE], devargs_take_fn *take, void *arg)
{
	const char *cursor = strncmp(devargs, "vdev:", 5) ? devargs : devargs + 5, *device = cursor;
	size_t device_len = strcspn(cursor, ","), len = device_len;
	char piece[PIECE_SIZE];

	if (strncmp(device, driver, strlen(driver)) != 0 || device_len >= DEVARGS_DEVICE_SIZE)
		return false;
	for (cursor += len; *cursor; cursor += len) {
		len = strcspn(++cursor, ",");
		if (len >= sizeof(piece))
			return false;
		memcpy(piece, cursor, len);
		piece[len] = '\0';
		if (!take_piece(piece, take, arg))
			return false;
	}
	memcpy(ret_device, device, device_len);
	ret_device[device_len] = '\0';
	return true;
}

bool
devargs_take_iface(const char *value, char ret_iface[IF_NAMESIZE])
{
	return value[0] && !strpbrk(value, "%/: ") && text_copy(ret_iface, IF_NAMESIZE, value);
}
