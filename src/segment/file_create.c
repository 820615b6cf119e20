// Creates a segment. A file is written without a name and gets one when it is whole. So no node
// maps half a segment, and a full file system keeps nothing. A device exists already: it is
// formatted in place.
#include "device.h"
#include "failure.h"
#include "file.h"
#include "rtvs/segment_file.h"
#include "rtvs/units.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int
check_geometry(const struct segment_geometry *g, char *err)
{
	const char *field;

	if (!segment_check_geometry(g, &field))
		return 0;
	if (!strcmp(field, "nodes"))
		return failure(err, -EINVAL, "nodes: %" PRIu32 " is not from 2 to %d", g->n_nodes, SEGMENT_MAX_NODES);
	if (!strcmp(field, "slot_bytes"))
		return failure(err, -EINVAL, "slot-bytes: %" PRIu32 " is not a power of two from %d to %d",
			g->slot_bytes, SEGMENT_MIN_SLOT_BYTES, SEGMENT_MAX_SLOT_BYTES);
	if (!strcmp(field, "inbox"))
		return failure(err, -EINVAL, "inbox: %" PRIu32 " is not a power of two from %d to %d", g->inbox_size,
			SEGMENT_MIN_INBOX, SEGMENT_MAX_INBOX);
	if (!strcmp(field, "slots"))
		return failure(err, -EINVAL,
			"slots: %" PRIu32 " is not from %" PRIu32 " to %d: fewer do not suffice for %" PRIu32 " nodes",
			g->n_slots, segment_min_slots(g), SEGMENT_MAX_SLOTS, g->n_nodes);
	return failure(err, -EINVAL, "%s: non-coherent memory has separate ones anyway, by sender", field);
}

int
segment_file_create_check(const struct segment_create *c, char err[SEGMENT_ERR_SIZE])
{
	struct segment_geometry g = c->geometry;
	char need[UNITS_TEXT_SIZE];
	int rc;

	if (!g.n_slots)
		g.n_slots = segment_min_slots(&g);
	rc = check_geometry(&g, err);
	if (!rc && c->size && segment_bytes(&g) > c->size)
		return failure(err, -EINVAL,
			"size: is too small for %" PRIu32 " nodes and %" PRIu32 " slots, which need %s", g.n_nodes,
			g.n_slots, units_format_size(segment_bytes(&g), need));
	return rc;
}

// As wanted, or as many slots as size has room for, but no fewer than there must be.
static struct segment_geometry
settle_geometry(const struct segment_create *c, uint64_t size)
{
	struct segment_geometry g = c->geometry;
	uint32_t low = segment_min_slots(&g), high = SEGMENT_MAX_SLOTS;

	if (g.n_slots)
		return g;
	while (low < high) {
		g.n_slots = low + (high - low + 1) / 2;
		if (segment_bytes(&g) <= size)
			low = g.n_slots;
		else
			high = g.n_slots - 1;
	}
	g.n_slots = low;
	return g;
}

// Not getgrnam, which a static program cannot have.
static int
find_group(const char *name, gid_t *ret_gid, char *err)
{
	struct group *group;
	uint64_t number;
	FILE *in;

	if (!units_parse_uint(name, &number) && number < UINT32_MAX) {
		*ret_gid = (gid_t)number;
		return 0;
	}
	in = fopen("/etc/group", "re");
	do
		group = in ? fgetgrent(in) : NULL;
	while (group && strcmp(group->gr_name, name));
	if (group)
		*ret_gid = group->gr_gid;
	if (in)
		fclose(in);
	return group ? 0 : failure(err, -ENOENT, "group: /etc/group has no '%s'; a number works, too", name);
}

static int
format(int fd, size_t bytes, const struct segment_geometry *g, bool is_empty)
{
	uint8_t id[16];
	void *mem;
	int rc;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return -EIO;
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	if (!is_empty)
		memset(mem, 0, bytes);
	rc = segment_format(mem, bytes, g, id);
	(void)munmap(mem, bytes);
	return rc;
}

// Gives the nameless file its name. An existing file of that name is replaced in one step, when
// that is wanted.
static int
name_file(int fd, const char *dir, const struct segment_create *c)
{
	char self[32], other[PATH_MAX];
	int rc;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!linkat(AT_FDCWD, self, AT_FDCWD, c->path, AT_SYMLINK_FOLLOW))
		return 0;
	if (errno != EEXIST || !c->is_forced)
		return -errno;
	if (snprintf(other, sizeof(other), "%s/.rtvs-%d", dir, (int)getpid()) >= (int)sizeof(other))
		return -ENAMETOOLONG;
	(void)unlink(other); // left by a process of this number that was killed here
	if (linkat(AT_FDCWD, self, AT_FDCWD, other, AT_SYMLINK_FOLLOW))
		return -errno;
	if (!rename(other, c->path))
		return 0;
	rc = -errno;
	(void)unlink(other);
	return rc;
}

static int
fill_file(int fd, const struct segment_create *c, const struct segment_geometry *g, char *err)
{
	uint64_t bytes = c->size > segment_bytes(g) ? c->size : segment_bytes(g);
	char text[UNITS_TEXT_SIZE];
	struct stat st;
	gid_t gid = 0;
	int rc;

	if (c->group) {
		rc = find_group(c->group, &gid, err);
		if (rc)
			return rc;
		if (fchown(fd, (uid_t)-1, gid))
			return failure(
				err, -errno, "group: only root and its members may give a file to '%s'", c->group);
	}
	if (fchmod(fd, c->mode) || fstat(fd, &st))
		return failure(err, -errno, "%s: %s", c->path, strerror(errno));
	// Hugepages are whole.
	if (st.st_blksize > 0)
		bytes = (bytes + (uint64_t)st.st_blksize - 1) / (uint64_t)st.st_blksize * (uint64_t)st.st_blksize;
	do
		rc = posix_fallocate(fd, 0, (off_t)bytes);
	while (rc == EINTR);
	if (!rc)
		rc = -format(fd, bytes, g, true);
	if (rc == ENOSPC || rc == ENOMEM)
		return failure(err, -ENOSPC, "%s: its file system has no room for %s", c->path,
			units_format_size(bytes, text));
	return rc ? failure(err, -rc, "%s: %s", c->path, strerror(rc)) : 0;
}

static int
make_file(const struct segment_create *c, char *err)
{
	const char *slash = strrchr(c->path, '/');
	struct segment_geometry g = settle_geometry(c, c->size);
	char dir[PATH_MAX];
	int fd, rc;

	if (snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - c->path + 1) : 1, slash ? c->path : ".") >=
		(int)sizeof(dir))
		return failure(err, -ENAMETOOLONG, "the path is too long");
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		return failure(err, -EOPNOTSUPP,
			"%s: its file system cannot hold a segment: use a tmpfs, such as /dev/shm", c->path);
	if (fd < 0 && errno == ENOENT)
		return failure(err, -errno, "%s: there is no such directory", dir);
	if (fd < 0)
		return failure(err, -errno, "%s: %s", c->path, strerror(errno));
	rc = fill_file(fd, c, &g, err);
	if (!rc) {
		rc = name_file(fd, dir, c);
		if (rc == -EEXIST)
			(void)failure(err, rc, "%s: exists already: --force replaces it", c->path);
		else if (rc)
			(void)failure(err, rc, "%s: %s", c->path, strerror(-rc));
	}
	close(fd);
	return rc;
}

// A living node beats its heart within this time, and a dead one's is silent.
static unsigned
count_living(struct segment_file *file)
{
	struct segment *seg = segment_file_segment(file);
	unsigned n_nodes = segment_geometry_of(seg)->n_nodes, n = 0;
	struct timespec pause = {.tv_nsec = (long)SEGMENT_TEND_NS};

	for (uint64_t ns = 0; ns < SEGMENT_SILENCE_NS + 3 * SEGMENT_TEND_NS; ns += SEGMENT_TEND_NS) {
		(void)segment_file_tend(file);
		(void)nanosleep(&pause, NULL);
	}
	for (unsigned i = 0; i < n_nodes; i++) {
		struct segment_node_info info;

		n += segment_look(seg, i, &info) && info.state == SEGMENT_LIVE;
	}
	return n;
}

static int
format_device(const struct segment_create *c, char *err)
{
	struct segment_file *file = NULL;
	struct segment_geometry g;
	char has[UNITS_TEXT_SIZE];
	uint64_t bytes;
	bool is_regular;
	unsigned n = 0;
	int fd, rc;

	if (c->size || c->group)
		return failure(err, -EINVAL, "%s: a device has its own", c->size ? "size" : "group");
	if (!c->is_forced) {
		rc = segment_file_open(c->path, false, &file, err);
		if (!rc)
			n = count_living(file);
		segment_file_close(file);
		if (rc && rc != -ENODATA)
			return rc;
		if (n)
			return failure(err, -EBUSY, "%s: nodes live there: %u; --force cuts them off", c->path, n);
	}
	fd = open(c->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return file_cannot_open(err, c->path, false, errno);
	rc = device_bytes(fd, &bytes, &is_regular);
	if (!rc) {
		g = settle_geometry(c, bytes);
		rc = segment_bytes(&g) > bytes ? -ENOSPC : format(fd, bytes, &g, false);
	}
	close(fd);
	if (rc == -EINVAL)
		return failure(err, rc, "%s: is no device that can hold a segment", c->path);
	if (rc == -ENOSPC)
		return failure(err, rc, "%s: has %s, which is too small for %" PRIu32 " nodes and %" PRIu32 " slots",
			c->path, units_format_size(bytes, has), g.n_nodes, g.n_slots);
	return rc ? failure(err, rc, "%s: %s", c->path, strerror(-rc)) : 0;
}

// The existing file is a segment, of any version: nothing else is replaced.
static int
check_replaced(const struct segment_create *c, char *err)
{
	struct segment_file *file = NULL;
	int rc;

	rc = segment_file_open(c->path, true, &file, err);
	segment_file_close(file);
	if (rc == -ENODATA)
		return failure(
			err, -EEXIST, "%s: exists and is no segment: it is not replaced; remove it yourself", c->path);
	if (!c->is_forced)
		return failure(err, -EEXIST, "%s: exists already: --force replaces it", c->path);
	return rc == -EPROTO || rc == -EINVAL || rc == -EFBIG ? 0 : rc;
}

int
segment_file_create(const struct segment_create *c, char err[SEGMENT_ERR_SIZE])
{
	struct stat st;
	int rc;

	rc = segment_file_create_check(c, err);
	if (rc)
		return rc;
	if (stat(c->path, &st))
		rc = errno == ENOENT ? 0 : failure(err, -errno, "%s: %s", c->path, strerror(errno));
	else if (device_is(c->path))
		return format_device(c, err);
	else if (!S_ISREG(st.st_mode))
		rc = failure(err, -EEXIST, "%s: exists and is no file: a segment needs a path of its own", c->path);
	else
		rc = check_replaced(c, err);
	return rc ? rc : make_file(c, err);
}
