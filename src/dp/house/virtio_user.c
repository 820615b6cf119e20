#include "virtio_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// By the kernel's own name: somebody may have given the file another one.
static bool
is_device(const char *path, const char *prefix)
{
	char link[64], target[512], *name;
	struct stat st;
	ssize_t n;

	if (stat(path, &st) || !S_ISCHR(st.st_mode))
		return false;
	(void)snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	name = strrchr(target, '/');
	return name && !strncmp(name + 1, prefix, strlen(prefix));
}

bool
virtio_user_is_vdpa(const char *path)
{
	return is_device(path, "vhost-vdpa-");
}

static int
explain_open(const char *path, int rc, char err[DP_ERR_SIZE])
{
	if (rc == -EBUSY)
		dp_error(err, "devargs: path: another program, or another port, has %.64s open", path);
	else if (rc == -EACCES || rc == -EPERM)
		dp_error(err, "devargs: path: the daemon may not read and write %.64s: see its owner and mode", path);
	else
		dp_error(err, "devargs: path: %.64s: %s", path, strerror(-rc));
	return rc;
}

int
virtio_user_explain(const char *path, char err[DP_ERR_SIZE])
{
	struct stat st;
	int fd;

	if (stat(path, &st)) {
		dp_error(err,
			"devargs: path: %.64s: %s; rtvsctl vdpa attach NAME --driver vhost makes the file of a vDPA "
			"device",
			path, strerror(errno));
		return -ENOENT;
	}
	if (S_ISSOCK(st.st_mode) || is_device(path, "vhost-net"))
		return 0;
	if (!virtio_user_is_vdpa(path)) {
		dp_error(
			err, "devargs: path: %.64s is neither a vhost-user socket nor the file of a vDPA device", path);
		return -ENODEV;
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return explain_open(path, -errno, err);
	close(fd);
	return 0;
}
