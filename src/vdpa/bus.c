// Directories and links of /sys/bus/vdpa. A write to bind or unbind returns when the driver is done
// with the device, so it may take as long as a request for a device.
#include "bus.h"

#include "bounded.h"
#include "rtvs/vdpa.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUS "/sys/bus/vdpa"
#define PATH_SIZE 1024 // a root and two names

struct binding {
	char root[VDPA_NAME_SIZE], name[VDPA_NAME_SIZE], driver[VDPA_NAME_SIZE], err[VDPA_ERR_SIZE];
};

static bool
is_name(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < VDPA_NAME_SIZE;
}

int
vdpa_bus_driver(const char *root, const char *name, char ret_driver[VDPA_NAME_SIZE])
{
	char path[PATH_SIZE], target[PATH_SIZE];
	const char *slash;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s" BUS "/devices/%s", root, name);
	if (!is_name(name) || access(path, F_OK))
		return -ENODEV;
	(void)snprintf(path, sizeof(path), "%s" BUS "/devices/%s/driver", root, name);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	slash = strrchr(target, '/');
	(void)snprintf(ret_driver, VDPA_NAME_SIZE, "%.*s", VDPA_NAME_SIZE - 1, slash ? slash + 1 : target);
	return 0;
}

int
vdpa_bus_child(const char *root, const char *name, const char *prefix, char ret_child[VDPA_NAME_SIZE])
{
	char path[PATH_SIZE];
	struct dirent *entry;
	int rc = -ENOENT;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s" BUS "/devices/%s", root, name);
	dir = is_name(name) ? opendir(path) : NULL;
	while (dir && rc && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		(void)snprintf(ret_child, VDPA_NAME_SIZE, "%s", entry->d_name);
		rc = 0;
	}
	if (dir)
		(void)closedir(dir);
	return rc;
}

static int
is_device(const struct dirent *entry)
{
	return is_name(entry->d_name);
}

int
vdpa_bus_list(const char *root, char (**ret_names)[VDPA_NAME_SIZE])
{
	char path[PATH_SIZE], (*names)[VDPA_NAME_SIZE];
	struct dirent **entries = NULL;
	int n;

	(void)snprintf(path, sizeof(path), "%s" BUS "/devices", root);
	n = scandir(path, &entries, is_device, alphasort);
	if (n < 0 && errno != ENOENT)
		return -errno;
	n = n < 0 ? 0 : n;
	names = calloc((size_t)n + 1, sizeof(*names));
	for (int i = 0; i < n; i++) {
		if (names)
			(void)snprintf(names[i], sizeof(names[i]), "%s", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (!names)
		return -ENOMEM;
	*ret_names = names;
	return n;
}

// vhost_vdpa has one opener at a time.
bool
bus_is_open(const char *root, const char *name)
{
	char child[VDPA_NAME_SIZE], path[PATH_SIZE];
	bool is_open;
	int fd;

	if (vdpa_bus_child(root, name, "vhost-vdpa-", child))
		return false;
	(void)snprintf(path, sizeof(path), "%s/dev/%s", root, child);
	fd = open(path, O_RDWR | O_CLOEXEC);
	is_open = fd < 0 && errno == EBUSY;
	if (fd >= 0)
		(void)close(fd);
	return is_open;
}

static int
write_name(const struct binding *b, const char *driver, const char *file)
{
	char path[PATH_SIZE];
	int fd, rc = 0;

	(void)snprintf(path, sizeof(path), "%s" BUS "/drivers/%s/%s", b->root, driver, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, b->name, strlen(b->name)) < 0)
		rc = errno == EACCES ? -EPERM : -errno;
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int
bind_device(void *data)
{
	char current[VDPA_NAME_SIZE], path[PATH_SIZE];
	struct binding *b = data;
	const char *at = b->driver;
	int rc = vdpa_bus_driver(b->root, b->name, current);

	if (rc) {
		(void)snprintf(path, sizeof(path), "%s" BUS, b->root);
		(void)snprintf(b->err, sizeof(b->err),
			access(path, F_OK) ? "the kernel has no vDPA: modprobe -a vduse virtio_vdpa" :
					     "there is no vDPA device %s",
			b->name);
		return rc;
	}
	if (!strcmp(current, b->driver))
		return 0;
	(void)snprintf(path, sizeof(path), "%s" BUS "/drivers/%s", b->root, b->driver);
	if (access(path, F_OK)) {
		(void)snprintf(
			b->err, sizeof(b->err), "the kernel has no driver %.99s: modprobe %.99s", b->driver, b->driver);
		return -ENOENT;
	}
	if (bus_is_open(b->root, b->name)) {
		(void)snprintf(b->err, sizeof(b->err), BUS_IN_USE, b->name);
		return -EBUSY;
	}
	if (current[0]) {
		at = current;
		rc = write_name(b, current, "unbind");
	}
	if (!rc && b->driver[0]) {
		at = b->driver;
		rc = write_name(b, b->driver, "bind");
	}
	if (rc == -EPERM)
		(void)snprintf(b->err, sizeof(b->err), "no permission for vDPA devices: needs root");
	else if (rc)
		(void)snprintf(b->err, sizeof(b->err), "%.99s: driver %.99s: %s", b->name, at, strerror(-rc));
	return rc;
}

int
vdpa_bus_bind(const char *root, const char *name, const char *driver, unsigned timeout_ms, char err[VDPA_ERR_SIZE])
{
	struct binding b = {0};
	int rc;

	(void)snprintf(b.root, sizeof(b.root), "%s", root);
	(void)snprintf(b.name, sizeof(b.name), "%s", name);
	(void)snprintf(b.driver, sizeof(b.driver), "%s", driver);
	rc = bounded_call(bind_device, &b, sizeof(b), timeout_ms);
	if (rc)
		(void)snprintf(err, VDPA_ERR_SIZE, "%s", b.err[0] ? b.err : bounded_why(rc));
	return rc;
}
