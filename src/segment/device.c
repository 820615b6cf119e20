// A DAX device's size is told by /sys; the memory of a PCI device is a file there, as long as the BAR. ivshmem: QEMU's docs/specs/ivshmem-spec.
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

bool
device_is(const char *path)
{
	struct statfs fs;
	struct stat st;

	if (stat(path, &st) || statfs(path, &fs))
		return false;
	return S_ISCHR(st.st_mode) || (S_ISREG(st.st_mode) && fs.f_type == SYSFS_MAGIC);
}

int
device_bytes(int fd, uint64_t *ret_bytes, bool *ret_is_regular)
{
	char path[64];
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	*ret_is_regular = S_ISREG(st.st_mode) && fs.f_type != SYSFS_MAGIC;
	if (S_ISREG(st.st_mode)) {
		*ret_bytes = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISCHR(st.st_mode))
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/size", major(st.st_rdev), minor(st.st_rdev));
	*ret_bytes = read_number(path);
	return *ret_bytes ? 0 : -EINVAL;
}

static bool
is_ivshmem(const char *address)
{
	char vendor[DEVICE_PATH_SIZE], device[DEVICE_PATH_SIZE];

	if (snprintf(vendor, sizeof(vendor), PCI "/%s/vendor", address) >= (int)sizeof(vendor) ||
		snprintf(device, sizeof(device), PCI "/%s/device", address) >= (int)sizeof(device))
		return false;
	return read_number(vendor) == IVSHMEM_VENDOR && read_number(device) == IVSHMEM_DEVICE;
}

// Lets the device answer. Whoever has no right to has none to its memory either, and is told so there.
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
		if (strchr(address, '/') || !is_ivshmem(address) || !text_copy(found, sizeof(found), address))
			return -ENOENT;
	} else {
		dir = opendir(PCI);
		while (dir && (entry = readdir(dir)))
			if (entry->d_name[0] != '.' && is_ivshmem(entry->d_name) &&
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
