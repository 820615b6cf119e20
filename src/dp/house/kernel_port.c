// Descriptors wait in a list until their port takes them. Their names say what they are:
// "KIND.DEVICE.QUEUE".
#include "kernel_port.h"

#include "dp_state.h"
#include "port_type.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct given_fd {
	struct given_fd *next;
	char name[KERNEL_PORT_FD_SIZE];
	int fd;
};

static const char *const kinds[] = {"tap.", "xdp.", "xdm."};

static_assert(sizeof("tap.") + DEVARGS_DEVICE_SIZE + sizeof(".7") - 2 <= KERNEL_PORT_FD_SIZE, "one NUL");
static_assert(DP_MAX_QUEUES <= 10, "one digit");

static bool
has_device(const struct port *port, const struct port_type *type, const char *device)
{
	const char *its = port ? port->cfg.devargs : "";
	size_t len = strlen(device);

	its += strncmp(its, "vdev:", 5) ? 0 : 5;
	return port && port->type == type && strcspn(its, ",") == len && !strncmp(its, device, len);
}

int
kernel_port_check(const struct dp *dp, const struct port_type *type, const char *device, char err[DP_ERR_SIZE])
{
	bool has = false;

	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		has |= has_device(dp->port[i], type, device);
	for (const struct port *port = dp->removed; port; port = port->next_removed)
		has |= has_device(port, type, device);
	if (has) {
		dp_error(err, "devargs: device %s is in use by another port", device);
		return -EBUSY;
	}
	return 0;
}

static void
make_name(const char *kind, const char *device, unsigned queue, char ret_name[KERNEL_PORT_FD_SIZE])
{
	(void)snprintf(ret_name, KERNEL_PORT_FD_SIZE, "%.3s.%.23s.%u", kind, device, queue % DP_MAX_QUEUES);
}

bool
kernel_port_send(const struct dp_fd_store *to, const char *kind, const char *device, unsigned queue, int fd)
{
	char name[KERNEL_PORT_FD_SIZE];

	make_name(kind, device, queue, name);
	return to->store(to->arg, name, fd);
}

bool
kernel_port_give(struct dp *dp, const char *name, int fd)
{
	struct given_fd *given;
	bool is_known = false;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		is_known |= !strncmp(name, kinds[i], strlen(kinds[i]));
	if (!is_known)
		return false;
	given = strlen(name) < sizeof(given->name) ? malloc(sizeof(*given)) : NULL;
	if (!given) {
		close(fd); // its port says that it did not come
		return true;
	}
	*given = (struct given_fd){.next = dp->given_fds, .fd = fd};
	memcpy(given->name, name, strlen(name));
	dp->given_fds = given;
	return true;
}

int
kernel_port_take(struct dp *dp, const char *kind, const char *device, unsigned queue)
{
	struct given_fd **at = &dp->given_fds, *given;
	char name[KERNEL_PORT_FD_SIZE];
	int fd;

	make_name(kind, device, queue, name);
	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	given = *at;
	if (!given)
		return -1;
	fd = given->fd;
	*at = given->next;
	free(given);
	return fd;
}

void
kernel_port_end_given(struct dp *dp)
{
	struct given_fd *given;

	while ((given = dp->given_fds)) {
		dp->given_fds = given->next;
		close(given->fd);
		free(given);
	}
}
