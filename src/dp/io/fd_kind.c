// The kernel itself answers each question. Only an eventfd has the line "eventfd-count:" in fdinfo.
// File seals exist on tmpfs and hugetlbfs only. statx with AT_STATX_DONT_SYNC returns cached data.
// statfs would ask a file system's server. It is called only for files on a block device, since a
// user who may mount one is trusted. A path proves nothing: it may be of another mount namespace.
#include "fd_kind.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XFS_SUPER_MAGIC 0x58465342

const char *const fd_kind_names[] = {
	[FD_FOREIGN] = "something else",
	[FD_EVENT] = "an eventfd",
	[FD_MEMORY] = "memory on tmpfs, hugetlbfs, ext4 or XFS",
};

static bool
is_event(int fd)
{
	char path[64], text[512];
	ssize_t n = -1;
	int info;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return false;
	n = read(info, text, sizeof(text) - 1);
	close(info);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "\neventfd-count:");
}

static bool
is_memory(int fd)
{
	struct statx st;
	struct statfs fs;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) || !S_ISREG(st.stx_mode))
		return false;
	if (fcntl(fd, F_GET_SEALS) >= 0)
		return true;
	return st.stx_dev_major && !fstatfs(fd, &fs) && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC);
}

enum fd_kind
fd_kind(int fd)
{
	return is_memory(fd) ? FD_MEMORY : is_event(fd) ? FD_EVENT : FD_FOREIGN;
}
