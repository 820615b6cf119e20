// The link is made under another name and put in place of a former one, so that its path always
// leads somewhere.
#include "links.h"

#include "rtvs/vdpa.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DRIVER "vhost_vdpa"
#define TICK_MS 20
#define PATH_SIZE 512

static void
path_of(const char *root, const char *port, char path[PATH_SIZE])
{
	(void)snprintf(path, PATH_SIZE, "%s" DOMAIN_RUN_DIR "/%.79s.vdpa", root, port);
}

// As the kernel makes it shortly after the driver has the device.
static int
wait_for_file(const char *root, const char *port, char file[VDPA_NAME_SIZE])
{
	int rc;

	for (unsigned ms = 0; (rc = vdpa_bus_child(root, port, "vhost-vdpa-", file)) && ms < LINKS_TIMEOUT_MS;
		ms += TICK_MS)
		(void)poll(NULL, 0, TICK_MS);
	return rc;
}

int
links_make(const char *root, const char *port, char err[DOMAIN_ERR_SIZE])
{
	char file[VDPA_NAME_SIZE], why[VDPA_ERR_SIZE], path[PATH_SIZE], part[PATH_SIZE + 8], target[VDPA_NAME_SIZE + 8];
	int rc = vdpa_bus_bind(root, port, DRIVER, LINKS_TIMEOUT_MS, why);

	if (rc) {
		(void)snprintf(err, DOMAIN_ERR_SIZE, "%s", why);
		return rc;
	}
	rc = wait_for_file(root, port, file);
	if (rc) {
		(void)snprintf(err, DOMAIN_ERR_SIZE, "the kernel made no file of device %s; dmesg may say why", port);
		return rc;
	}
	path_of(root, port, path);
	(void)snprintf(part, sizeof(part), "%s.part", path);
	(void)snprintf(target, sizeof(target), "/dev/%s", file);
	(void)unlink(part);
	if (!symlink(target, part) && !rename(part, path))
		return 0;
	rc = -errno;
	(void)snprintf(err, DOMAIN_ERR_SIZE, "%s: %s", path, strerror(-rc));
	return rc;
}

void
links_drop(const char *root, const char *port)
{
	char path[PATH_SIZE];

	path_of(root, port, path);
	(void)unlink(path);
}
