// A segment in a file: rtvs/segment_file.h. The file is made without a name and gets one when it is whole, so that nobody maps half a segment.
// Who lives is told by locks of single bytes far behind the data (fcntl's locks of open file descriptions): the kernel takes them back from whoever
// dies, at that moment, and they do not meet the locks of anybody else. A node's host is the running kernel and the file as this kernel knows
// it: two ways to one memory that do not share locks are two hosts, which watch each other's hearts instead.
//
// A file that somebody truncates under the mapping costs a signal, and then the node its segment, but nobody the process: segment_file_mend.
#include "device.h"
#include "rtvs/segment_file.h"
#include "rtvs/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCKS_AT (INT64_C(1) << 62) // the lock of node n is this byte + n
#define MAX_OPEN 128 // segments of one process
#define MIN_NAP_NS \
	UINT64_C(  \
		50000) // between looks at the inbox while a node lives that cannot wake this one: twice as long each time
#define MAX_NAP_NS UINT64_C(1000000)

// What the SIGBUS handler knows, which may interrupt anything. bytes 0: not in use.
struct mapping {
	_Atomic uintptr_t begin;
	_Atomic size_t bytes;
	_Atomic bool is_broken;
};
static struct mapping mappings[MAX_OPEN];

struct segment_file {
	int fd;
	bool is_regular; // has a length that may change
	size_t bytes; // of the mapping
	struct mapping *mapping;
	struct segment *seg;
	void *own;
	size_t own_bytes;
	uint8_t host[16];
	int wanted; // number, -1: any
	struct segment_identity identity; // as joined
	_Atomic bool has_strangers; // nodes of other hosts live; tending: wo, receiving: ro
};

// Returns rc.
__attribute__((format(printf, 3, 4))) static int
failure(char *err, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(err, SEGMENT_ERR_SIZE, format, args);
	va_end(args);
	return rc;
}

static int
cannot_open(char *err, const char *path, int error)
{
	switch (error) {
	case ENOENT:
		return failure(err, -error, "%s: there is no such file: rtvs-vni create makes it", path);
	case EACCES:
	case EPERM:
		return failure(err, -error, "%s: permission denied: its group and root may use it", path);
	default:
		return failure(err, -error, "%s: %s", path, strerror(error));
	}
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

// --- truncated files

static struct mapping *
mapping_add(void *begin, size_t bytes)
{
	for (struct mapping *m = mappings; m < mappings + MAX_OPEN; m++) {
		size_t none = 0;

		if (!atomic_compare_exchange_strong(&m->bytes, &none, bytes))
			continue;
		atomic_store(&m->is_broken, false);
		atomic_store(&m->begin, (uintptr_t)begin);
		return m;
	}
	return NULL;
}

static void
mapping_remove(struct mapping *m)
{
	atomic_store(&m->begin, 0);
	atomic_store(&m->bytes, 0);
}

bool
segment_file_mend(const void *address)
{
	for (struct mapping *m = mappings; m < mappings + MAX_OPEN; m++) {
		uintptr_t begin = atomic_load(&m->begin);
		size_t bytes = atomic_load(&m->bytes);

		if (!begin || (uintptr_t)address - begin >= bytes)
			continue;
		// All of it: half a segment is none. Who is in the middle of something reads zeros, which are bad frames and dead nodes.
		atomic_store(&m->is_broken, true);
		return mmap((void *)begin, bytes, PROT_READ | PROT_WRITE,
			       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
	}
	return false;
}

static void
handle_bus_error(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!segment_file_mend(info->si_addr))
		(void)signal(sig, SIG_DFL); // the instruction runs again and ends the process as it should
}

int
segment_file_catch_truncation(void)
{
	struct sigaction action = {.sa_sigaction = handle_bus_error, .sa_flags = SA_SIGINFO};

	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

bool
segment_file_is_broken(const struct segment_file *file)
{
	return atomic_load(&file->mapping->is_broken);
}

bool
segment_file_is_replaced(const struct segment_file *file, const char *path)
{
	struct stat ours, theirs;

	return file->is_regular && !fstat(file->fd, &ours) && !stat(path, &theirs) &&
		(ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev);
}

// --- making one

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
			"slots: %" PRIu32 " is not from %" PRIu32 ", which so many nodes need, to %d", g->n_slots,
			segment_min_slots(g), SEGMENT_MAX_SLOTS);
	return failure(err, -EINVAL, "%s: what is asked for does not go together", field);
}

// As many slots as size has room for.
static int
fit_slots(struct segment_geometry *g, uint64_t size, char *err)
{
	char need[UNITS_TEXT_SIZE];
	uint32_t low, high = SEGMENT_MAX_SLOTS;
	int rc;

	g->n_slots = low = segment_min_slots(g);
	rc = check_geometry(g, err);
	if (rc)
		return rc;
	if (segment_bytes(g) > size)
		return failure(err, -ENOSPC, "size: is too small for %" PRIu32 " nodes, who need %s at least",
			g->n_nodes, units_format_size(segment_bytes(g), need));
	while (low < high) {
		g->n_slots = low + (high - low + 1) / 2;
		if (segment_bytes(g) <= size)
			low = g->n_slots;
		else
			high = g->n_slots - 1;
	}
	g->n_slots = low;
	return 0;
}

static int
settle_geometry(const struct segment_create *c, uint64_t size, struct segment_geometry *ret_g, char *err)
{
	char need[UNITS_TEXT_SIZE];
	int rc;

	*ret_g = c->geometry;
	rc = ret_g->n_slots ? check_geometry(ret_g, err) : fit_slots(ret_g, size, err);
	if (!rc && size && segment_bytes(ret_g) > size)
		return failure(err, -ENOSPC, "size: is too small for this, which needs %s",
			units_format_size(segment_bytes(ret_g), need));
	return rc;
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

// Gives the nameless file its name. What has the name already is replaced in one step, when that is wanted.
static int
name_file(int fd, const char *dir, const struct segment_create *c)
{
	char self[32], other[PATH_MAX];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!linkat(AT_FDCWD, self, AT_FDCWD, c->path, AT_SYMLINK_FOLLOW))
		return 0;
	if (errno != EEXIST || !c->is_forced)
		return -errno;
	if (snprintf(other, sizeof(other), "%s/.rtvs-%d", dir, (int)getpid()) >= (int)sizeof(other))
		return -ENAMETOOLONG;
	if (linkat(AT_FDCWD, self, AT_FDCWD, other, AT_SYMLINK_FOLLOW))
		return -errno;
	if (!rename(other, c->path))
		return 0;
	(void)unlink(other);
	return -EBUSY;
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
	struct segment_geometry g;
	char dir[PATH_MAX];
	int fd, rc;

	rc = settle_geometry(c, c->size, &g, err);
	if (rc)
		return rc;
	if (snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - c->path + 1) : 1, slash ? c->path : ".") >=
		(int)sizeof(dir))
		return failure(err, -ENAMETOOLONG, "the path is too long");
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		return failure(err, -EOPNOTSUPP,
			"%s: its file system cannot hold a segment: use a tmpfs, such as /dev/shm", c->path);
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

// --- opening one

// The kernel's boot, and the file as it is known to it.
static void
find_host(int fd, uint8_t host[16])
{
	char text[40] = "";
	struct stat st = {0};
	uint64_t word[2];
	unsigned n = 0;
	int boot = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (boot < 0 || read(boot, text, sizeof(text) - 1) < 36)
		(void)!getrandom(host, 16, 0); // nobody's: no lock is believed
	for (const char *c = text; *c && n < 32; c++) {
		char digit[2] = {*c};

		if (!strchr("0123456789abcdef", *c))
			continue;
		host[n / 2] = (uint8_t)(host[n / 2] << 4 | strtoul(digit, NULL, 16));
		n++;
	}
	if (boot >= 0)
		close(boot);
	(void)fstat(fd, &st);
	memcpy(word, host, sizeof(word));
	word[0] ^= st.st_ino;
	word[1] ^= st.st_dev;
	memcpy(host, word, sizeof(word));
}

static int
read_geometry(const char *path, const void *mem, size_t bytes, struct segment_geometry *ret_g, char *err)
{
	char text[UNITS_TEXT_SIZE];
	int rc = segment_read_geometry(mem, bytes, ret_g);

	switch (rc) {
	case -ENODATA:
		return failure(err, rc, "%s: is no segment: rtvs-vni create makes one", path);
	case -EPROTO:
		return failure(err, rc,
			"%s: is a segment of another version than %d: use the programs that made it, or create it "
			"again",
			path, SEGMENT_VERSION);
	case -EINVAL:
		return failure(err, rc, "%s: its header is out of range: create it again", path);
	case -EFBIG:
		return failure(err, rc, "%s: is shorter (%s) than its header says: create it again", path,
			units_format_size(bytes, text));
	default:
		return rc;
	}
}

static int
map(struct segment_file *file, const char *path, bool is_readonly, char *err)
{
	struct segment_geometry g;
	uint64_t bytes;
	void *mem;
	int rc;

	// Without waiting for the other end of what is no file.
	file->fd = open(path, (is_readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0)
		return cannot_open(err, path, errno);
	rc = device_bytes(file->fd, &bytes, &file->is_regular);
	if (rc)
		return failure(err, rc, "%s: is neither a file nor a DAX device nor the memory of a PCI device", path);
	if (!bytes)
		return failure(err, -ENODATA, "%s: is empty, no segment: rtvs-vni create makes one", path);
	mem = mmap(NULL, bytes, PROT_READ | (is_readonly ? 0 : PROT_WRITE),
		MAP_SHARED | (is_readonly ? 0 : MAP_POPULATE), file->fd, 0);
	if (mem == MAP_FAILED)
		return failure(err, -errno, "%s: cannot be mapped: %s", path, strerror(errno));
	file->bytes = bytes;
	file->mapping = mapping_add(mem, bytes);
	if (!file->mapping) {
		(void)munmap(mem, bytes);
		return failure(err, -EMFILE, "%s: this process has %d segments open, which is all that it may", path,
			MAX_OPEN);
	}
	rc = read_geometry(path, mem, bytes, &g, err);
	if (rc)
		return rc;
	file->own_bytes = segment_own_bytes(&g);
	file->own = mmap(NULL, file->own_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (file->own == MAP_FAILED) {
		file->own = NULL;
		return failure(err, -ENOMEM, "%s: out of memory", path);
	}
	file->seg = segment_attach(file->own, mem, &g);
	find_host(file->fd, file->host);
	return 0;
}

int
segment_file_open(const char *path, bool is_readonly, struct segment_file **ret_file, char err[SEGMENT_ERR_SIZE])
{
	struct segment_file *file = calloc(1, sizeof(*file));
	int rc;

	if (!file)
		return failure(err, -ENOMEM, "%s: out of memory", path);
	file->fd = -1;
	rc = map(file, path, is_readonly, err);
	if (rc)
		segment_file_close(file);
	else
		*ret_file = file;
	return rc;
}

void
segment_file_close(struct segment_file *file)
{
	if (!file)
		return;
	if (file->seg)
		segment_file_leave(file);
	if (file->mapping) {
		void *begin = (void *)atomic_load(&file->mapping->begin);

		mapping_remove(file->mapping);
		(void)munmap(begin, file->bytes);
	}
	if (file->own)
		(void)munmap(file->own, file->own_bytes);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}

struct segment *
segment_file_segment(const struct segment_file *file)
{
	return file->seg;
}

// --- devices

// Whoever lives there beats its heart within this time, and a dead one's is silent.
static unsigned
count_living(struct segment_file *file)
{
	unsigned n_nodes = segment_geometry_of(file->seg)->n_nodes, n = 0;
	uint64_t end_ns = now_ns() + SEGMENT_SILENCE_NS + 2 * SEGMENT_TEND_NS;
	struct timespec pause = {.tv_nsec = (long)SEGMENT_TEND_NS};

	while (now_ns() < end_ns) {
		(void)segment_file_tend(file);
		(void)nanosleep(&pause, NULL);
	}
	for (unsigned i = 0; i < n_nodes; i++) {
		struct segment_node_info info;

		n += segment_look(file->seg, i, &info) && info.state == SEGMENT_LIVE;
	}
	return n;
}

static int
format_device(const struct segment_create *c, char *err)
{
	struct segment_file *file = NULL;
	struct segment_geometry g;
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
	fd = open(c->path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return cannot_open(err, c->path, errno);
	rc = device_bytes(fd, &bytes, &is_regular);
	rc = rc ? failure(err, rc, "%s: is no device that can hold a segment", c->path) :
		  settle_geometry(c, bytes, &g, err);
	if (!rc) {
		rc = format(fd, bytes, &g, false);
		if (rc)
			(void)failure(err, rc, "%s: %s", c->path, strerror(-rc));
	}
	close(fd);
	return rc;
}

// What is there is a segment, of whichever version: nothing else is replaced.
static int
check_replaced(const struct segment_create *c, char *err)
{
	struct segment_file *file = NULL;
	int rc;

	if (!c->is_forced)
		return failure(err, -EEXIST, "%s: exists already: --force replaces it", c->path);
	rc = segment_file_open(c->path, true, &file, err);
	segment_file_close(file);
	if (rc == -ENODATA)
		return failure(
			err, -EEXIST, "%s: exists and is no segment: it is not replaced; remove it yourself", c->path);
	return rc == -EPROTO || rc == -EINVAL || rc == -EFBIG ? 0 : rc;
}

bool
segment_file_is_device(const char *path)
{
	return device_is(path);
}

int
segment_file_create(const struct segment_create *c, char err[SEGMENT_ERR_SIZE])
{
	struct stat st;
	int rc = 0;

	if (stat(c->path, &st))
		rc = errno == ENOENT ? 0 : failure(err, -errno, "%s: %s", c->path, strerror(errno));
	else if (device_is(c->path))
		return format_device(c, err);
	else
		rc = check_replaced(c, err);
	return rc ? rc : make_file(c, err);
}

// --- locks

static int
lock_set(const struct segment_file *file, short type, unsigned node)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = LOCKS_AT + node, .l_len = 1};

	return fcntl(file->fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

int
segment_file_has_lock(void *ctx, unsigned node)
{
	const struct segment_file *file = ctx;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCKS_AT + node, .l_len = 1};

	struct segment_node_info info;

	if (segment_self(file->seg) == (int)node)
		return 1; // which our own question does not meet
	if (!segment_look(file->seg, node, &info) || !segment_file_is_neighbour(file, &info))
		return -1;
	if (fcntl(file->fd, F_OFD_GETLK, &lock))
		return -1;
	return lock.l_type != F_UNLCK;
}

// --- who is there

bool
segment_file_is_neighbour(const struct segment_file *file, const struct segment_node_info *info)
{
	return !memcmp(info->identity.host, file->host, sizeof(file->host));
}

bool
segment_file_all_have(const struct segment_file *file, uint32_t flags)
{
	unsigned n_nodes = segment_geometry_of(file->seg)->n_nodes;

	for (unsigned i = 0; i < n_nodes; i++) {
		struct segment_node_info info;

		if (segment_look(file->seg, i, &info) && info.state == SEGMENT_LIVE &&
			(info.identity.flags & flags) != flags)
			return false;
	}
	return true;
}

// With the lock of the number: whoever of this host had it is dead.
static void
expel_former(struct segment_file *file, unsigned node)
{
	struct segment_node_info info;

	if (segment_look(file->seg, node, &info) && info.state == SEGMENT_LIVE &&
		segment_file_is_neighbour(file, &info) && (info.identity.flags & SEGMENT_LOCKED))
		(void)segment_expel(file->seg, node);
}

bool
segment_file_has_strangers(const struct segment_file *file)
{
	return atomic_load_explicit(&file->has_strangers, memory_order_relaxed);
}

// The number of another node with the name, or -1. One of this host that is dead is taken away.
static int
find_name(struct segment_file *file, const char *name)
{
	unsigned n_nodes = segment_geometry_of(file->seg)->n_nodes;

	for (unsigned i = 0; i < n_nodes; i++) {
		struct segment_node_info info;

		if ((int)i == segment_self(file->seg) || !segment_look(file->seg, i, &info) ||
			(info.state != SEGMENT_LIVE && info.state != SEGMENT_JOINING) ||
			strncmp(info.identity.name, name, sizeof(info.identity.name)))
			continue;
		if (info.state == SEGMENT_LIVE && segment_file_is_neighbour(file, &info) &&
			!lock_set(file, F_WRLCK, i)) {
			expel_former(file, i);
			(void)lock_set(file, F_UNLCK, i);
			continue;
		}
		return (int)i;
	}
	return -1;
}

static int
join_at(struct segment_file *file, unsigned node)
{
	struct segment_identity identity = file->identity;
	int rc = lock_set(file, F_WRLCK, node);

	if (rc == -EAGAIN || rc == -EACCES)
		return -EBUSY;
	if (!rc) {
		identity.flags |= SEGMENT_LOCKED;
		expel_former(file, node);
	}
	rc = segment_join(file->seg, node, &identity);
	if (rc)
		(void)lock_set(file, F_UNLCK, node);
	return rc;
}

static int
join_any(struct segment_file *file)
{
	unsigned n_nodes = segment_geometry_of(file->seg)->n_nodes;
	int rc = -EBUSY;

	for (unsigned i = 0; rc == -EBUSY && i < n_nodes; i++)
		rc = join_at(file, i);
	return rc;
}

// Looks for the name before and after: of two that come at the same time with one name, one at least sees the other.
static int
join(struct segment_file *file, char *err)
{
	const char *name = file->identity.name;
	int other = find_name(file, name), rc;

	if (other < 0) {
		rc = file->wanted < 0 ? join_any(file) : join_at(file, (unsigned)file->wanted);
		if (rc == -EBUSY && file->wanted < 0)
			return failure(err, rc, "all %" PRIu32 " numbers are in use: make the segment with more nodes",
				segment_geometry_of(file->seg)->n_nodes);
		if (rc == -EBUSY)
			return failure(err, rc, "node %d is in use", file->wanted);
		if (rc)
			return failure(err, rc, "cannot join: %s", strerror(-rc));
		other = find_name(file, name);
		if (other >= 0)
			segment_file_leave(file);
	}
	return other < 0 ? 0 : failure(err, -EEXIST, "node %d has the name %s already: take another name", other, name);
}

int
segment_file_join(
	struct segment_file *file, int node, const struct segment_identity *identity, char err[SEGMENT_ERR_SIZE])
{
	uint32_t n_nodes = segment_geometry_of(file->seg)->n_nodes;

	assert(segment_self(file->seg) < 0);
	if (node >= (int)n_nodes)
		return failure(err, -EINVAL, "node: %d is not from 0 to %" PRIu32, node, n_nodes - 1);
	file->wanted = node;
	file->identity = *identity;
	file->identity.flags = (identity->flags & (SEGMENT_BRIDGE | SEGMENT_USO)) | SEGMENT_SLEEPS;
	file->identity.pid = (uint32_t)getpid();
	memcpy(file->identity.host, file->host, sizeof(file->host));
	return join(file, err);
}

void
segment_file_leave(struct segment_file *file)
{
	int self = segment_self(file->seg);

	if (self < 0)
		return;
	segment_leave(file->seg);
	(void)lock_set(file, F_UNLCK, (unsigned)self);
}

int
segment_file_rejoin(struct segment_file *file, char err[SEGMENT_ERR_SIZE])
{
	segment_file_leave(file);
	return join(file, err);
}

unsigned
segment_file_tend(struct segment_file *file)
{
	unsigned n_nodes = segment_geometry_of(file->seg)->n_nodes;
	unsigned n = segment_tend(file->seg, segment_file_has_lock, file, now_ns());
	int self = segment_self(file->seg);
	bool has_strangers = false;
	struct stat st;

	for (unsigned i = 0; i < n_nodes; i++) {
		struct segment_node_info info;

		has_strangers |= segment_look(file->seg, i, &info) && info.state == SEGMENT_LIVE &&
			!segment_file_is_neighbour(file, &info);
	}
	if (has_strangers != atomic_exchange(&file->has_strangers, has_strangers) && self >= 0)
		segment_file_wake(file, UINT64_C(1) << self); // the receiving thread waits another way from here on
	// System calls that read or write what is missing only fail.
	if (file->is_regular && !segment_file_is_broken(file) && !fstat(file->fd, &st) &&
		(uint64_t)st.st_size < file->bytes)
		(void)segment_file_mend((void *)atomic_load(&file->mapping->begin));
	return n;
}

// --- waiting

static long
futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

void
segment_file_wake(struct segment_file *file, uint64_t nodes)
{
	for (; nodes; nodes &= nodes - 1)
		(void)futex(segment_sleep_word(file->seg, (unsigned)__builtin_ctzll(nodes)), FUTEX_WAKE, 1, NULL);
}

bool
segment_file_wait(struct segment_file *file, uint64_t max_ns)
{
	_Atomic uint32_t *word = segment_sleep_word(file->seg, (unsigned)segment_self(file->seg));
	uint64_t nap_ns = MIN_NAP_NS;

	while (segment_sleep(file->seg)) {
		uint64_t wait_ns = max_ns;
		struct timespec ts;

		if (atomic_load(&file->has_strangers)) {
			wait_ns = nap_ns < max_ns ? nap_ns : max_ns;
			nap_ns = 2 * nap_ns < MAX_NAP_NS ? 2 * nap_ns : MAX_NAP_NS;
		}
		ts = (struct timespec){
			.tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000)};
		if (!futex(word, FUTEX_WAIT, 1, &ts) || errno != ETIMEDOUT)
			break; // woken; or the word had changed, a signal came, the file is gone: worth a look
		max_ns -= wait_ns;
		if (!max_ns) {
			segment_awake(file->seg);
			return false;
		}
	}
	segment_awake(file->seg);
	return true;
}
