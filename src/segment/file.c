// A segment in a file: rtvs/segment_file.h, except for its creation (file_create.c).
//
// Living nodes hold locks of single bytes far behind the data (fcntl's locks of open file
// descriptions). The kernel releases them at the moment of death, and they do not meet other
// programs' locks. A node's host is the running kernel and the file as this kernel knows it. Two
// ways to one memory that do not share locks are two hosts, which watch each other's hearts
// instead.
//
// A file that is truncated under the mapping causes a signal, and costs the node its segment, but
// never the process: segment_file_mend.
#include "file.h"

#include "device.h"
#include "failure.h"
#include "rtvs/segment_file.h"
#include "rtvs/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
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
// Between looks at the inbox while a node lives that cannot wake this one: twice as long each time.
#define MIN_NAP_NS UINT64_C(50000)
#define MAX_NAP_NS UINT64_C(1000000)

// The SIGBUS handler's data; it may interrupt any code. bytes 0: not in use.
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
	size_t populated; // from its begin on
	struct mapping *mapping;
	struct segment *seg;
	void *own;
	size_t own_bytes;
	uint8_t host[16];
	int wanted; // number, -1: any
	struct segment_identity identity; // as joined
	// there are nodes that cannot wake this one; tending: wo, receiving: ro
	_Atomic bool has_strangers;
};

int
file_cannot_open(char *err, const char *path, bool is_readonly, int error)
{
	switch (error) {
	case ENOENT:
		return failure(err, -error, "%s: there is no such file: rtvs-vni create makes it", path);
	case EACCES:
	case EPERM:
		return failure(err, -error, "%s: permission denied: its owner, mode and group decide who may %s it",
			path, is_readonly ? "read" : "read and write");
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

SEGMENT_SIGNAL_SAFE bool
segment_file_mend(const void *address)
{
	for (struct mapping *m = mappings; m < mappings + MAX_OPEN; m++) {
		uintptr_t begin = atomic_load(&m->begin);
		size_t bytes = atomic_load(&m->bytes);

		if (!begin || (uintptr_t)address - begin >= bytes)
			continue;
		// The whole mapping: half a segment is none. A node in the middle of an access
		// reads zeros, which are bad frames and dead nodes.
		atomic_store(&m->is_broken, true);
		return syscall(SYS_mmap, begin, bytes, PROT_READ | PROT_WRITE,
			       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L) != -1;
	}
	return false;
}

SEGMENT_SIGNAL_SAFE static void
handle_bus_error(int sig, siginfo_t *info, void *context)
{
	(void)context;
	// the instruction runs again and ends the process as it should
	if (!segment_file_mend(info->si_addr))
		(void)signal(sig, SIG_DFL);
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
	struct stat st;

	// System calls that read or write what is missing only fail.
	if (file->is_regular && !atomic_load(&file->mapping->is_broken) && !fstat(file->fd, &st) &&
		(uint64_t)st.st_size < file->bytes)
		(void)segment_file_mend((const void *)atomic_load(&file->mapping->begin));
	return atomic_load(&file->mapping->is_broken);
}

bool
segment_file_is_replaced(const struct segment_file *file, const char *path)
{
	struct stat ours, theirs;

	return file->is_regular && !fstat(file->fd, &ours) && !stat(path, &theirs) &&
		(ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev);
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
		(void)!getrandom(host, 16, 0); // no node's: no lock is believed
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

// A hole costs memory as soon as it is read. A segment is created whole, so a file with holes was
// made to claim more than it has.
static bool
is_whole(const struct segment_file *file, const struct segment_geometry *g)
{
	struct stat st;

	return !file->is_regular || fstat(file->fd, &st) || (uint64_t)st.st_blocks * 512 >= segment_bytes(g);
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
		return file_cannot_open(err, path, is_readonly, errno);
	rc = device_bytes(file->fd, &bytes, &file->is_regular);
	if (rc)
		return failure(err, rc, "%s: is neither a file nor a DAX device nor the memory of a PCI device", path);
	if (!bytes)
		return failure(err, -ENODATA, "%s: is empty, no segment: rtvs-vni create makes one", path);
	mem = mmap(NULL, bytes, PROT_READ | (is_readonly ? 0 : PROT_WRITE), MAP_SHARED, file->fd, 0);
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
	if (!is_whole(file, &g))
		return failure(
			err, -EFBIG, "%s: has holes where its header says that a segment is: create it again", path);
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

// A kernel or a device that cannot populate leaves it to the first access of each page.
bool
segment_file_populate(struct segment_file *file, size_t max_bytes)
{
	const struct segment_geometry *g = segment_geometry_of(file->seg);
	size_t left = segment_bytes(g) - file->populated;

	if (!left || segment_file_is_broken(file) || !is_whole(file, g))
		return false;
	if (left > max_bytes)
		left = max_bytes;
	(void)madvise((uint8_t *)atomic_load(&file->mapping->begin) + file->populated, left, MADV_POPULATE_WRITE);
	file->populated += left;
	return file->populated < segment_bytes(g);
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

bool
segment_file_is_device(const char *path)
{
	return device_is(path);
}

struct segment *
segment_file_segment(const struct segment_file *file)
{
	return file->seg;
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

// With the lock of the number: its former owner on this host is dead.
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

// Looks for the name before and after the lock: of two nodes that come at the same time with one
// name, at least one sees the other.
static int
join(struct segment_file *file, char *err)
{
	const char *name = file->identity.name;
	int other, rc;

	// It would be alone there, and think that all is well.
	if (segment_file_is_broken(file))
		return failure(err, -EFBIG, "the file was truncated, or its memory failed: create the segment again");
	other = find_name(file, name);
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
		return failure(err, -EINVAL,
			"node: %d is not from 0 to %" PRIu32 ": the segment was made for %" PRIu32 " nodes", node,
			n_nodes - 1, n_nodes);
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
	int self = segment_self(file->seg);
	bool has_strangers = segment_geometry_of(file->seg)->memory == SEGMENT_NONCOHERENT;
	unsigned n;

	// Before the segment is touched: not every program catches the signal.
	(void)segment_file_is_broken(file);
	n = segment_tend(file->seg, segment_file_has_lock, file, now_ns());
	for (unsigned i = 0; i < n_nodes; i++) {
		struct segment_node_info info;

		has_strangers |= segment_look(file->seg, i, &info) && info.state == SEGMENT_LIVE &&
			!segment_file_is_neighbour(file, &info);
	}
	// the receiving thread waits another way from here on
	if (has_strangers != atomic_exchange(&file->has_strangers, has_strangers) && self >= 0)
		segment_file_wake(file, UINT64_C(1) << self);
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
	int self = segment_self(file->seg);
	_Atomic uint32_t *word = self < 0 ? NULL : segment_sleep_word(file->seg, (unsigned)self);
	uint64_t nap_ns = MIN_NAP_NS;

	if (!word) { // nothing will come
		struct timespec ts = {.tv_sec = (time_t)(max_ns / 1000000000), .tv_nsec = (long)(max_ns % 1000000000)};

		(void)nanosleep(&ts, NULL);
		return false;
	}
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
			break; // woken; or the word had changed, a signal came, the file is gone
		max_ns -= wait_ns;
		if (!max_ns) {
			segment_awake(file->seg);
			return false;
		}
	}
	segment_awake(file->seg);
	return true;
}
