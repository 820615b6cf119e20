// The first process lets libxdp make and bind a socket, and then maps the rings itself by a copy of
// its descriptor, just as each later process does. So there is one way into the rings.
// Invariant: a position of a ring is in the ring alone; those that libxdp's functions keep beside
// it are read again whenever another process may have moved them (xdp_device_resume).
#include "xdp_device.h"

#include "rtvs/text.h"
#include "xdp_library.h"

#include <rte_ethdev.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define VERSION 1 // of the record and the sizes
#define FILE_SIZE RTE_ALIGN(XDP_FRAMES_SIZE + sizeof(struct xdp_record), 4096)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEND_BUFFER (8 << 20) // for all frames, whose buffers in the kernel are larger
#define BUSY_TRIES 20
#define BUSY_WAIT_NS 10000000

static_assert(sizeof(struct xsk_ring_cons) == sizeof(struct xsk_ring_prod), "one function maps both");

bool
xdp_device_is_known(void)
{
	struct utsname u;
	unsigned major, minor;

	return !uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
		(major > 6 || (major == 6 && minor >= 4));
}

static int
map_memory(struct xdp_queue *q)
{
	struct stat st;
	int seals = fcntl(q->memory_fd, F_GET_SEALS);
	void *at;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(q->memory_fd, &st) || st.st_size != (off_t)FILE_SIZE)
		return -EPROTO;
	at = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, q->memory_fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	q->frames = at;
	q->record = (struct xdp_record *)(q->frames + XDP_FRAMES_SIZE);
	return 0;
}

// ring: of either type, whose members are the same.
static int
map_ring(struct xdp_queue *q, unsigned i, off_t where, const struct xdp_ring_offset *offset, uint32_t n, size_t entry,
	void *ring)
{
	size_t len = offset->desc + n * entry;
	uint8_t *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, q->fd, where);
	struct xsk_ring_prod r;

	if (at == MAP_FAILED)
		return -errno;
	q->map[i] = (struct xdp_ring_map){at, len};
	r = (struct xsk_ring_prod){.mask = n - 1,
		.size = n,
		.producer = (uint32_t *)(void *)(at + offset->producer),
		.consumer = (uint32_t *)(void *)(at + offset->consumer),
		.flags = (uint32_t *)(void *)(at + offset->flags),
		.ring = at + offset->desc};
	memcpy(ring, &r, sizeof(r));
	return 0;
}

static int
map_rings(struct xdp_queue *q)
{
	struct xdp_mmap_offsets o;
	socklen_t len = sizeof(o);
	int rc = 0;

	if (getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &o, &len) || len != sizeof(o))
		return -EPROTO;
	rc = map_ring(q, 0, XDP_PGOFF_RX_RING, &o.rx, XDP_RX_FRAMES, sizeof(struct xdp_desc), &q->rx);
	if (!rc)
		rc = map_ring(q, 1, XDP_PGOFF_TX_RING, &o.tx, XDP_TX_FRAMES, sizeof(struct xdp_desc), &q->tx);
	if (!rc)
		rc = map_ring(
			q, 2, (off_t)XDP_UMEM_PGOFF_FILL_RING, &o.fr, XDP_RX_FRAMES, sizeof(uint64_t), &q->filled);
	if (!rc)
		rc = map_ring(
			q, 3, (off_t)XDP_UMEM_PGOFF_COMPLETION_RING, &o.cr, XDP_TX_FRAMES, sizeof(uint64_t), &q->done);
	q->is_mapped = !rc;
	return rc;
}

static int
make_memory(const struct xdp_args *args, unsigned ifindex, struct xdp_queue *q)
{
	int rc;

	q->memory_fd = memfd_create("rtvs-xdp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (q->memory_fd < 0)
		return -errno;
	if (ftruncate(q->memory_fd, (off_t)FILE_SIZE) || fcntl(q->memory_fd, F_ADD_SEALS, SEALS))
		return -errno;
	rc = map_memory(q);
	if (rc)
		return rc;
	*q->record = (struct xdp_record){.version = VERSION, .ifindex = ifindex};
	(void)text_copy(q->record->iface, sizeof(q->record->iface), args->iface);
	xdp_frames_init(&q->record->tx);
	return 0;
}

// The library's own maps of the rings end here.
static int
make_socket(const struct xdp_library *lib, const struct xdp_args *args, uint32_t queue, struct xdp_queue *q)
{
	const struct xsk_umem_config memory = {
		.fill_size = XDP_RX_FRAMES, .comp_size = XDP_TX_FRAMES, .frame_size = XDP_FRAME_SIZE};
	const struct xsk_socket_config config = {.rx_size = XDP_RX_FRAMES,
		.tx_size = XDP_TX_FRAMES,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | (args->forces_copy ? XDP_COPY : 0))};
	struct xsk_ring_prod filled, tx;
	struct xsk_ring_cons done, rx;
	struct xsk_umem *umem = NULL;
	struct xsk_socket *xsk = NULL;
	int rc = lib->xsk_umem__create(&umem, q->frames, XDP_FRAMES_SIZE, &filled, &done, &memory);

	if (rc)
		return rc;
	rc = lib->xsk_socket__create(&xsk, args->iface, queue, umem, &rx, &tx, &config);
	if (!rc) {
		q->fd = fcntl(lib->xsk_umem__fd(umem), F_DUPFD_CLOEXEC, 0);
		rc = q->fd < 0 ? -errno : 0;
		lib->xsk_socket__delete(xsk);
	}
	(void)lib->xsk_umem__delete(umem);
	return rc;
}

// A socket that was closed has the queue until the kernel's own thread has ended it.
static int
make_socket_soon(const struct xdp_library *lib, const struct xdp_args *args, uint32_t queue, struct xdp_queue *q)
{
	int rc = make_socket(lib, args, queue, q), buffer = SEND_BUFFER;

	for (unsigned i = 0; rc == -EBUSY && i < BUSY_TRIES; i++) {
		(void)nanosleep(&(struct timespec){.tv_nsec = BUSY_WAIT_NS}, NULL);
		rc = make_socket(lib, args, queue, q);
	}
	if (!rc)
		(void)setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	return rc;
}

static void
fill(struct xdp_queue *q)
{
	uint32_t at, n = xsk_ring_prod__reserve(&q->filled, XDP_RX_FRAMES, &at);

	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&q->filled, at + i) = (uint64_t)i * XDP_FRAME_SIZE;
	xsk_ring_prod__submit(&q->filled, n);
}

static void
resume_queue(struct xdp_queue *q)
{
	q->rx.cached_prod = q->rx.cached_cons = *q->rx.consumer;
	q->done.cached_prod = q->done.cached_cons = *q->done.consumer;
	q->filled.cached_prod = *q->filled.producer;
	q->filled.cached_cons = *q->filled.consumer + q->filled.size;
	q->tx.cached_prod = *q->tx.producer;
	q->tx.cached_cons = *q->tx.consumer + q->tx.size;
}

static struct xdp_queue *
next_queue(struct xdp_device *device)
{
	struct xdp_queue *q = &device->queue[device->n++];

	*q = (struct xdp_queue){.fd = -1, .memory_fd = -1};
	return q;
}

static int
open_queue(const struct xdp_library *lib, const struct xdp_args *args, unsigned ifindex, struct xdp_device *device)
{
	uint32_t queue = args->start_queue + device->n;
	struct xdp_queue *q = next_queue(device);
	int rc = make_memory(args, ifindex, q);

	if (!rc)
		rc = make_socket_soon(lib, args, queue, q);
	if (!rc)
		rc = map_rings(q);
	if (!rc) {
		resume_queue(q);
		fill(q);
	}
	return rc;
}

static int
explain(int rc, const struct xdp_args *args, unsigned queue, char err[DP_ERR_SIZE])
{
	switch (rc) {
	case -EPERM:
	case -EACCES:
		dp_error(err, "devargs: AF_XDP at %s needs CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW", args->iface);
		break;
	case -EAFNOSUPPORT:
		dp_error(err, "devargs: this kernel has no AF_XDP, or the service forbids it");
		break;
	case -EBUSY:
		dp_error(err, "devargs: another socket has queue %u of %s", queue, args->iface);
		break;
	case -EINVAL:
		dp_error(err, "devargs: %s has no queue %u, or its driver cannot be used with AF_XDP", args->iface,
			queue);
		break;
	case -ENOBUFS:
		dp_error(err, "devargs: the limit of locked memory (RLIMIT_MEMLOCK) is below %u MiB",
			(unsigned)(FILE_SIZE >> 20) + 1);
		break;
	default:
		dp_error(err, "devargs: AF_XDP at queue %u of %s: %s", queue, args->iface, strerror(-rc));
	}
	return rc;
}

static int
attach(const struct xdp_library *lib, const struct xdp_args *args, unsigned ifindex, struct xdp_device *device,
	char err[DP_ERR_SIZE])
{
	int map = -1, rc = lib->xsk_setup_xdp_prog((int)ifindex, &map);

	for (unsigned i = 0; !rc && i < device->n; i++) {
		uint32_t queue = args->start_queue + i;

		if (lib->bpf_map_update_elem(map, &queue, &device->queue[i].fd, 0))
			rc = -errno;
	}
	if (map >= 0)
		close(map);
	if (rc)
		dp_error(err, "devargs: cannot attach AF_XDP's program to %s: %s", args->iface, strerror(-rc));
	return rc;
}

int
xdp_device_open(const struct xdp_args *args, unsigned n, struct xdp_device *device, char err[DP_ERR_SIZE])
{
	const struct xdp_library *lib = xdp_library_load(err);
	unsigned ifindex = if_nametoindex(args->iface);
	int rc = 0;

	if (!lib)
		return -ENOTSUP;
	if (!ifindex) {
		dp_error(err, "devargs: iface: there is no interface %s", args->iface);
		return -ENODEV;
	}
	device->n = 0;
	while (!rc && device->n < n)
		rc = open_queue(lib, args, ifindex, device);
	if (rc)
		(void)explain(rc, args, args->start_queue + device->n - 1, err);
	else
		rc = attach(lib, args, ifindex, device, err);
	if (rc)
		xdp_device_close(device);
	return rc;
}

int
xdp_device_add(struct xdp_device *device, int fd, int memory_fd)
{
	struct xdp_queue *q = next_queue(device);
	int rc;

	q->fd = fd;
	q->memory_fd = memory_fd;
	rc = fd < 0 || memory_fd < 0 ? -EPROTO : map_memory(q);
	if (!rc && q->record->version != VERSION)
		rc = -EPROTO;
	if (!rc)
		rc = map_rings(q);
	return rc == -EBUSY ? 0 : rc; // it was ended
}

int
xdp_device_resume(struct xdp_device *device)
{
	for (unsigned i = 0; i < device->n; i++) {
		struct xdp_queue *q = &device->queue[i];

		if (!xdp_frames_is_consistent(&q->record->tx))
			return -EPROTO;
		if (q->is_mapped)
			resume_queue(q);
	}
	return 0;
}

void
xdp_device_close(struct xdp_device *device)
{
	while (device->n) {
		struct xdp_queue *q = &device->queue[--device->n];

		for (unsigned i = 0; i < XDP_RINGS; i++)
			if (q->map[i].at)
				(void)munmap(q->map[i].at, q->map[i].len);
		if (q->frames)
			(void)munmap(q->frames, FILE_SIZE);
		if (q->fd >= 0)
			close(q->fd);
		if (q->memory_fd >= 0)
			close(q->memory_fd);
	}
}

// The kernel says it once, to the process that asks first.
static bool
is_gone(struct xdp_device *device)
{
	struct xdp_queue *q = &device->queue[0];
	int error = 0;
	socklen_t len = sizeof(error);

	if (!device->n)
		return true;
	if (!q->is_mapped || (!getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len) && error == ENETDOWN))
		q->record->is_gone = 1;
	return q->record->is_gone;
}

enum netdev_state
xdp_device_state(struct xdp_device *device, char ret_name[IF_NAMESIZE])
{
	const struct xdp_record *record = device->n ? device->queue[0].record : NULL;
	bool is_here = record && !is_gone(device) && if_indextoname(record->ifindex, ret_name);

	if (!is_here)
		(void)text_copy(ret_name, IF_NAMESIZE, record ? record->iface : "");
	return is_here ? netdev_state(record->ifindex) : NETDEV_GONE;
}

unsigned
xdp_device_ifindex(const struct xdp_device *device)
{
	const struct xdp_record *record = device->n ? device->queue[0].record : NULL;

	return record && !record->is_gone ? record->ifindex : 0;
}

uint64_t
xdp_device_lost(const struct xdp_device *device)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < device->n; i++) {
		const struct xdp_queue *q = &device->queue[i];
		struct xdp_statistics s;
		socklen_t len = sizeof(s);

		if (!getsockopt(q->fd, SOL_XDP, XDP_STATISTICS, &s, &len) && len == sizeof(s))
			n += s.tx_invalid_descs;
		if (q->is_mapped && q->record->is_gone)
			n += *q->tx.producer - *q->tx.consumer;
	}
	return n;
}
