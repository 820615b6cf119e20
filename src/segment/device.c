// /sys has the size of a DAX device. The memory of a PCI device is a file there, as long as the
// BAR. ivshmem: QEMU's docs/specs/ivshmem-spec.
#include "device.h"

#include "rtvs/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PCI "/sys/bus/pci/devices"
#define IVSHMEM_VENDOR 0x1af4
#define IVSHMEM_DEVICE 0x1110

// A number in a file of /sys; 0 when there is none.
static uint64_t
read_number(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strtoull(text, NULL, 0);
}

// The directory of a PCI device below /sys.
static bool
is_ivshmem(const char *dir, int len)
{
	char vendor[DEVICE_PATH_SIZE], device[DEVICE_PATH_SIZE];

	if (snprintf(vendor, sizeof(vendor), "%.*s/vendor", len, dir) >= (int)sizeof(vendor) ||
		snprintf(device, sizeof(device), "%.*s/device", len, dir) >= (int)sizeof(device))
		return false;
	return read_number(vendor) == IVSHMEM_VENDOR && read_number(device) == IVSHMEM_DEVICE;
}

static bool
has_address(const char *address)
{
	char dir[DEVICE_PATH_SIZE];
	int len = snprintf(dir, sizeof(dir), PCI "/%s", address);

	return len < (int)sizeof(dir) && !strchr(address, '/') && is_ivshmem(dir, len);
}

static bool
is_in_sysfs(const struct stat *st, const struct statfs *fs)
{
	return S_ISREG(st->st_mode) && fs->f_type == SYSFS_MAGIC;
}

bool
device_is(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct statfs fs;
	struct stat st;

	if (stat(path, &st) || statfs(path, &fs))
		return false;
	return S_ISCHR(st.st_mode) || (is_in_sysfs(&st, &fs) && slash && is_ivshmem(path, (int)(slash - path)));
}

static uint64_t
dax_bytes(dev_t device)
{
	char path[DEVICE_PATH_SIZE], subsystem[DEVICE_PATH_SIZE];
	const char *name;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/subsystem", major(device), minor(device));
	n = readlink(path, subsystem, sizeof(subsystem) - 1);
	subsystem[n < 0 ? 0 : n] = '\0';
	name = strrchr(subsystem, '/');
	if (!name || strcmp(name, "/dax"))
		return 0;
	(void)snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/size", major(device), minor(device));
	return read_number(path);
}

int
device_bytes(int fd, uint64_t *ret_bytes, bool *ret_is_regular)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return -EINVAL;
	*ret_is_regular = S_ISREG(st.st_mode) && !is_in_sysfs(&st, &fs);
	*ret_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : dax_bytes(st.st_rdev);
	return S_ISREG(st.st_mode) || *ret_bytes ? 0 : -EINVAL;
}

// Lets the device answer. A process without this right has none to its memory either, and gets that
// error there.
static void
enable(const char *address)
{
	char path[DEVICE_PATH_SIZE];
	int fd;

	(void)snprintf(path, sizeof(path), PCI "/%s/enable", address);
	if (read_number(path))
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, "1", 1);
	close(fd);
}

int
device_find_ivshmem(const char *address, char ret_path[DEVICE_PATH_SIZE])
{
	char found[32] = "";
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	if (address) {
		if (!has_address(address) || !text_copy(found, sizeof(found), address))
			return -ENOENT;
	} else {
		dir = opendir(PCI);
		while (dir && (entry = readdir(dir)))
			if (entry->d_name[0] != '.' && has_address(entry->d_name) &&
				text_copy(found, sizeof(found), entry->d_name))
				n++;
		if (dir)
			closedir(dir);
		if (n != 1)
			return n ? -E2BIG : -ENOENT;
	}
	enable(found);
	(void)snprintf(ret_path, DEVICE_PATH_SIZE, PCI "/%s/resource2", found);
	return 0;
}
