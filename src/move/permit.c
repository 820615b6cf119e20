// Paths of the QEMU's vhost-user sockets are compared with those of the daemon's ports, as files:
// the same socket may have several names.
#include "permit.h"

#include "probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONNECT_MS 3000

static bool
is_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return !strcmp(a, b) || (!stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino);
}

// The port with this socket, of port.list; NULL: there is none.
static const json_t *
find_port(const json_t *list, const char *socket)
{
	const json_t *port;
	size_t i;

	json_array_foreach (list, i, port) {
		const char *path = json_string_value(json_object_get(json_object_get(port, "config"), "socket"));

		if (path && *path && is_same_file(path, socket))
			return port;
	}
	return NULL;
}

// Full paths of the sockets of vhost-user netdevs.
static json_t *
sockets_of(const struct cmdline *c, const struct process *p)
{
	char value[CMDLINE_VALUE_SIZE], id[CMDLINE_VALUE_SIZE], path[CMDLINE_VALUE_SIZE];
	const struct cmdline_option *netdev, *chardev;
	json_t *paths = json_array();
	unsigned cursor = 0;
	bool is_server;

	while ((netdev = cmdline_next(c, "netdev", &cursor))) {
		unsigned at = 0;

		if (!cmdline_get(netdev, "type", value) || strcmp(value, "vhost-user") != 0 ||
			!cmdline_get(netdev, "chardev", value))
			continue;
		while ((chardev = cmdline_next(c, "chardev", &at)))
			if (cmdline_get(chardev, "id", id) && !strcmp(id, value) &&
				cmdline_get_socket(chardev, path, &is_server) && !is_server) {
				char *full = probe_path(p, path);

				json_array_append_new(paths, json_string(full ? full : path));
				free(full);
			}
	}
	return paths;
}

static void
take_port(const json_t *port, struct permit *permit, struct reasons *reasons)
{
	const char *name = json_string_value(json_object_get(port, "name")),
		   *device = json_string_value(json_object_get(json_object_get(port, "config"), "vdpa"));

	if (device && *device)
		reasons_add(reasons, "port %.60s is offloaded to a device (%.60s), which has one process at a time",
			name, device);
	else
		json_array_append_new(permit->ports, json_string(name));
}

bool
permit_find(const char *socket, const struct cmdline *c, const struct process *p, struct permit *ret_permit,
	struct reasons *reasons)
{
	struct permit permit = {.ports = json_array()};
	json_t *paths = sockets_of(c, p), *list = NULL, *error = NULL, *path;
	unsigned n_before = reasons->n;
	size_t i;
	int rc = json_array_size(paths) ? client_connect(socket, CONNECT_MS, &permit.client) : 0;

	if (rc)
		reasons_add(reasons,
			"the guest has vhost-user sockets, and rtvswitchd is not reachable to permit second "
			"connections: %.100s: %s",
			socket, strerror(-rc));
	if (!rc && permit.client && client_call(permit.client, "port.list", NULL, &list, &error))
		reasons_add(reasons, "rtvswitchd does not list its ports");
	json_array_foreach (paths, i, path) {
		const json_t *port = find_port(list, json_string_value(path));

		if (port)
			take_port(port, &permit, reasons);
	}
	json_decref(paths);
	json_decref(list);
	json_decref(error);
	*ret_permit = permit;
	return reasons->n == n_before;
}

int
permit_give(const struct permit *p)
{
	const json_t *name;
	size_t i;

	json_array_foreach (p->ports, i, name) {
		json_t *result = NULL;
		enum cli_exit rc = client_ask(p->client, "port.move",
			json_pack("{s:s, s:s}", "name", json_string_value(name), "for", PERMIT_FOR), &result);

		json_decref(result);
		if (rc)
			return rc == CLI_REFUSED ? -EREMOTE : -EPIPE;
	}
	return 0;
}

void
permit_end(struct permit *p)
{
	client_close(p->client);
	json_decref(p->ports);
	*p = (struct permit){0};
}
